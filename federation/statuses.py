"""What a figure is: its words, mark and look, in one place for table, chart, export, command and legend.

    value           published as it is                              lower-bound    a part is withheld, so at least this
    noisy           moved by chance before it left, with its error  partial        of a rate: those who published alone
    exact           from a secret sum: complete, no part seen       not-combined   such figures have no total
    withheld        there is a number; it stays in its college      missing        nobody reported it

A mark stands before the number, the error after it. Nobody invents a word of his own beside these. `sdmx` is the code
of CL_OBS_STATUS for what leaves as a file: E (estimated) for whatever is not the count itself. SDMX's confidentiality
codes, which tell a small cell from one that protects it, are not used: outside the node there is one status.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from federation.errors import Text

VALUE, NOISY, EXACT, LOWER_BOUND, PARTIAL = "value", "noisy", "exact", "lower-bound", "partial"
WITHHELD, MISSING, DOES_NOT_APPLY, NOT_COMBINED = "withheld", "missing", "not-applicable", "not-combined"


@dataclass(frozen=True)
class Status:
    """How one kind of figure is told. `light`: it is drawn and written lightly, since it is not the whole truth."""

    id: str
    name: Text
    means: Text
    sdmx: str
    mark: str = ""
    light: bool = False
    opacity: float = 1.0  # of its bar in a chart


STATUSES: Mapping[str, Status] = {
    status.id: status
    for status in (
        Status(VALUE, Text("数值", "value"), Text("按原数公布", "published as it is"), "A"),
        Status(
            NOISY,
            Text("加噪", "with noise"),
            Text(
                "离开学校之前已随机改动，“±”后为预期误差；各格分别改动，相加不等于合计",
                "moved by chance before it left its college; ± is the expected error. Each cell is moved by itself, so "
                "parts do not add up to their total",
            ),
            "E",
            "≈ ",
            opacity=0.7,
        ),
        Status(
            EXACT,
            Text("精确合计", "exact total"),
            Text("由各校加密份额相加得出，没有人看过单校数字", "added up from secret shares; nobody saw a college's"),
            "A",
            "Σ ",
        ),
        Status(
            LOWER_BOUND,
            Text("下限（含不公开部分）", "lower bound (a part is withheld)"),
            Text("有院校的数字不公开，合计至少为此数", "a college withholds its figure, so the sum is at least this"),
            "E",
            "≥ ",
            light=True,
            opacity=0.45,
        ),
        Status(
            PARTIAL,
            Text("仅已公布者", "only those who published"),
            Text("只含公布了数字的院校", "the rate among those who published theirs"),
            "E",
            light=True,
            opacity=0.45,
        ),
        Status(
            WITHHELD,
            Text("不公开", "withheld"),
            Text("人数过少，或公开会让人算出别的小数字", "too few persons, or it would give another small figure away"),
            "Q",
            light=True,
        ),
        Status(
            MISSING,
            Text("缺报", "missing"),
            Text("没有报来；从不按零计算", "not reported; never counted as zero"),
            "O",
            light=True,
        ),
        Status(
            DOES_NOT_APPLY,
            Text("不适用", "not applicable"),
            Text("没有所指的对象", "there is nobody it speaks of"),
            "M",
        ),
        Status(
            NOT_COMBINED, Text("不汇总", "not combined"), Text("这类数字没有合计", "such figures have no total"), "M"
        ),
    )
}


def marked(status: str, number: str, error: str = "") -> str:
    """Return a number as it stands wherever people read it: `≥ 12`, `≈ 120 ± 5`."""
    return f"{STATUSES[status].mark}{number}{f' ± {error}' if error else ''}"


def legend(shown: Iterable[str]) -> list[Status]:
    """Return the statuses that need a word where these are shown, in the order of the table above."""
    found = set(shown) - {VALUE, DOES_NOT_APPLY}
    return [status for status in STATUSES.values() if status.id in found]

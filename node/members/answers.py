"""What an officer answers about a file, checked in one place for command, page and API."""

from collections.abc import Mapping

from federation.errors import UsageError
from node.intake.headers import DROP, field_names, header_key
from node.intake.rows import Answers

POLICIES = ("ask", "refuse", "drop")
LEAVE_REASONS = ("_U", "RETIRE", "TRANSFER", "QUIT", "OTHER")


def check_answers(
    columns: Mapping[str, str], values: Mapping[str, Mapping[str, str]], policy: str, *, match_zeros: bool = False
) -> Answers:
    """Return the answers; `columns`: header to field or `drop`, `values`: field to value to code. Raise UsageError."""
    if policy not in POLICIES:
        raise UsageError("policy-unknown", "--unknown-columns 只能是 ask、refuse 或 drop。", "Use ask, refuse or drop.")
    for header, name in columns.items():
        if not header_key(header) or name not in {*field_names(), DROP}:
            raise UsageError(
                "column-misspelt",
                f"--column 请写成 列名=字段；字段有 {'、'.join(field_names())} 或 drop。",
                f"Write --column HEADER=FIELD; fields are {', '.join(field_names())} or drop.",
            )
    for name, words in values.items():
        if name not in field_names() or not all(words):
            raise UsageError("value-misspelt", "--value 请写成 字段:值=代码。", "Write --value FIELD:VALUE=CODE.")
    mapped = {header_key(header): name for header, name in columns.items()}
    return Answers(mapped, {name: dict(words) for name, words in values.items()}, policy, match_zeros)


def check_leave_reason(reason: str) -> None:
    """Raise UsageError unless `reason` is a code of CL_LEAVE_REASON."""
    if reason not in LEAVE_REASONS:
        codes = ", ".join(LEAVE_REASONS)
        raise UsageError("leave-reason-unknown", f"离开原因只能是 {codes}。", f"A reason is one of {codes}.")

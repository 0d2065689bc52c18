"""`gonghui doctor`: print what `node.doctor` found. Relies on file access: a sick node may have no accounts."""

from typing import Annotated

import typer

from node.cli.state import OUT, State, print_json
from node.doctor import ERROR, OK, examine, exit_code_of

_MARKS = {OK: "✓", ERROR: "✗"}


def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """体检：指出问题和解决办法 / say what is wrong, and the mend.  Example: gonghui doctor --json."""
    state: State = context.obj
    findings = examine(state.config)
    code = exit_code_of(findings)
    if as_json:
        shown = [
            {
                "check": finding.check,
                "state": finding.state,
                "said": finding.said.in_language(state.language),
                "mend": finding.mend.in_language(state.language),
                "exit_code": finding.exit_code,
            }
            for finding in findings
        ]
        print_json({"exit_code": code, "findings": shown})
    else:
        for finding in findings:
            said, mend = finding.said.in_language(state.language), finding.mend.in_language(state.language)
            OUT.print(f"{_MARKS.get(finding.state, '!')} {finding.check:12} {said}", highlight=False, markup=False)
            if mend:
                OUT.print(f"  → {mend}", highlight=False, markup=False)
    raise typer.Exit(code)

"""`gonghui demo`: a hub and its colleges on this machine; with `--once` it ends by itself and reports."""

import signal
import threading
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from federation.errors import GonghuiError, UsageError
from node.cli.state import ERR, OUT, State, print_json


def demo(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="做完即结束 / run through and end")] = False,
    rosters: Annotated[
        Path | None, typer.Option(metavar="DIR", help="每个 csv、xls、xlsx 为一所院校 / a college for each file")
    ] = None,
    as_of: Annotated[str, typer.Option("--as-of", help="名册日期，默认最近的 9 月 30 日 / day of the rosters")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="输出 JSON，须与 --once 同用 / print JSON, with --once")
    ] = False,
) -> None:
    """在本机演示：从名册到共享指标 / the whole way from rosters to shared indicators, on this machine.

    Example: gonghui demo --once --json --rosters ./rosters --as-of 2026-09-30
    """
    from node.demo.rosters import last_union_year_end
    from node.demo.run import Wanted, exit_code_of, run_demo
    from node.demo.words import DemoFailed

    state: State = context.obj
    if as_json and not once:
        raise UsageError("json-needs-once", "--json 须与 --once 同用。", "Use --json together with --once.")
    today = date.today()  # noqa: DTZ011  the day on the user's own calendar
    day = _read_day(as_of) if as_of else last_union_year_end(today)
    if day > today:
        raise UsageError("date-in-future", "--as-of 不能在将来。", "--as-of cannot lie in the future.")
    signal.signal(signal.SIGINT, _interrupt)  # a shell starts what runs in its background deaf to it
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` asks to stay
        signal.signal(signal.SIGHUP, _interrupt)
    wanted = Wanted(day, today, rosters, stays=not once)
    try:
        report = run_demo(wanted, ERR if once else OUT, _wait)
    except DemoFailed as error:
        raise _as_error(error) from error
    if as_json:
        print_json(report)
    code, words = exit_code_of(report)
    if words is not None:
        ERR.print(words.en if state.language.startswith("en") else words.zh, markup=False)
    raise typer.Exit(code)


def _read_day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "date-misspelt", "日期请写成 2026-09-30。", "Write a date as 2026-09-30.", value=text[:20]
        ) from error


def _interrupt(*_: object) -> None:
    """End as with Ctrl-C, so that nothing is left behind; a second signal meanwhile changes nothing."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _wait() -> None:
    """Wait until somebody ends it; that is how a demo ends, and no failure."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def _as_error(error: Exception) -> GonghuiError:
    """Return a failure of the demo as an error of the program: with its code, texts and exit code."""
    from federation import errors
    from node.demo.words import DemoFailed

    if not isinstance(error, DemoFailed):
        raise TypeError(error)
    kinds = {
        kind.exit_code: kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, GonghuiError)
    }
    return kinds.get(error.exit_code, GonghuiError)(error.code, error.words.zh, error.words.en)

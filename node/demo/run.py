"""One run of the demo from nothing to nothing."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console

from node.demo.crew import Crew
from node.demo.report import CREDIT, build_report, print_invitation, print_remarks
from node.demo.rosters import CollegePlan, find_rosters
from node.demo.show import Show
from node.demo.stage import Stage
from node.demo.words import DemoFailed, Words
from node.demo.writing import write_rosters

_OFTEN_SECONDS = 20  # between rounds while somebody watches
_SELDOM_SECONDS = 86_400  # the run itself says when


@dataclass(frozen=True)
class Wanted:
    """What is asked for: `rosters` None are the demo's own; `as_of` is the day the rosters describe."""

    as_of: date
    today: date
    rosters: Path | None = None
    stays: bool = True  # until somebody ends it


def run_demo(wanted: Wanted, console: Console, wait: Callable[[], None]) -> dict[str, Any]:
    """Run it, `wait` before the end if it stays, and return the report; raise DemoFailed."""
    started = time.monotonic()
    with Crew() as crew:
        plans = _plans(wanted, crew.folder)
        with Show(console) as show:
            interval = _OFTEN_SECONDS if wanted.stays else _SELDOM_SECONDS
            stage = Stage(crew, show, plans, today=wanted.today, interval=interval)
            period = stage.periods[-1]
            play(stage, wanted)
            report = build_report(stage, period, time.monotonic() - started)
        if wanted.rosters is None:
            console.print(CREDIT.both(), markup=False, highlight=False)
        else:
            print_remarks(stage, console)
        if wanted.stays:
            print_invitation(stage, stage.invite(), period, console)
            wait()
    return report


def play(stage: Stage, wanted: Wanted) -> None:
    """Let everything happen, in order."""
    stage.found()
    stage.release()
    if wanted.rosters is None:
        stage.notify()
    stage.exchange()
    if wanted.rosters is None:
        stage.review(stage.periods[-1])
    stage.fetch()
    stage.total()
    if wanted.stays:
        stage.correct()


def _plans(wanted: Wanted, folder: Path) -> list[CollegePlan]:
    """Return the colleges: of the files of a folder, or the demo's own with the rosters up to the day."""
    if wanted.rosters is not None:
        return find_rosters(wanted.rosters, wanted.as_of)
    plans = [plan.until(wanted.as_of) for plan in write_rosters(folder / "rosters")]
    if not any(plan.rosters for plan in plans):
        raise DemoFailed(
            "as-of-too-early",
            "演示名册从 1992-09-30 开始，--as-of 不能更早。",
            "The demo's rosters begin on 1992-09-30; --as-of cannot be earlier.",
            exit_code=2,
        )
    return plans


def exit_code_of(report: dict[str, Any]) -> tuple[int, Words | None]:
    """Return 5 where a document was refused, 3 where a roster could not be read, else 0; and what to say of it."""
    if report["refused"]:
        count = report["refused"]
        return 5, Words(f"汇总节点拒绝了 {count} 份文件。", f"The hub refused {count} documents.")
    unread = [item["file"] for node in report["nodes"] for item in node.get("unread", ())]
    if unread:
        names = "、".join(unread)
        return 3, Words(f"读不了这些名册：{names}。", f"Rosters that could not be read: {names}.")
    return 0, None

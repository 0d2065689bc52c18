"""What sources have told, at one `known_at`: the difference between zero and never told.

A figure has a value only where somebody told what it rests on; otherwise a reason code says what is missing:

* `no-source:X`      nobody told X (the whole roster, membership, or a column such as education);
* `before-first:X`   X was told for the first time as of a day after the period's end;
* `not-told-since:X` the last file about X describes a day before the period, so that its changes are unknown;
* `no-baseline`      it is unknown who was a member when the period began, so that joiners and leavers cannot be told.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sqlmodel import Session, col, or_, select

from federation.periods import Period
from node.intake.models import DataChange

MEMBERSHIP, SINCE = "membership", "member_since"


@dataclass(frozen=True)
class Telling:
    """One change of data in force: the day it describes, what it tells, and whether it tells it of everybody."""

    day: date
    fields: frozenset[str]
    complete: bool


class Told:
    """Everything told at one `known_at`."""

    def __init__(self, tellings: Iterable[Telling]) -> None:
        self.tellings = tuple(tellings)

    def days(self, source: str) -> list[date]:
        """Return the days as of which a source was told, in order."""
        return sorted(telling.day for telling in self.tellings if source in telling.fields)

    def why_not(self, source: str, period: Period, *, timeless: bool = False) -> str:
        """Return why a state at the period's end is unknown; "" where it is known."""
        days = self.days(source)
        if not days:
            return f"no-source:{source}"
        return "" if timeless or days[0] <= period.end else f"before-first:{source}"

    def why_no_flow(self, event: str, period: Period) -> str:
        """Return why joiners (`start`) or leavers (`end`) of a period are unknown; "" where they are known."""
        days = self.days(MEMBERSHIP)
        if missing := self.why_not(MEMBERSHIP, period):
            return missing
        if days[-1] <= period.start:
            return f"not-told-since:{MEMBERSHIP}"
        about = [telling for telling in self.tellings if MEMBERSHIP in telling.fields]
        baseline = min((telling.day for telling in about if telling.complete), default=None)
        if event == "end":
            return "" if baseline is not None and baseline <= period.start else "no-baseline"
        if baseline is not None and baseline < period.start:
            return ""
        opening = [telling for telling in about if baseline is None or telling.day <= baseline]
        return "" if all(SINCE in telling.fields for telling in opening) else "no-baseline"


def load_told(session: Session, known_at: int) -> Told:
    """Return what the changes up to `known_at` told; a change undone by then tells nothing."""
    changes = session.exec(
        select(DataChange).where(
            DataChange.number <= known_at,
            or_(col(DataChange.undone_by).is_(None), col(DataChange.undone_by) > known_at),
        )
    ).all()
    return Told(
        Telling(change.as_of, frozenset(filter(None, change.fields.split(","))), change.complete)
        for change in changes
        if change.as_of is not None
    )

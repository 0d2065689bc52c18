"""Periods whose release stands still: this node's figures are in a total that was opened, or still may be.

A correction beside an exact total would tell, by the difference, what the total hides. It waits for the final vintage.
"""

from sqlmodel import Session, col, select

from federation.errors import Conflict
from node.context import Node
from node.stream.models import Federation, StoredRecord

_KIND, _CONTRIBUTE, _GIVE_UP = "sum", "contribute", "give-up"


def check_not_frozen(session: Session, node: Node, period: str) -> None:
    """Raise Conflict where this node contributed the period to an attempt that hub and second body did not give up."""
    said = session.exec(
        select(StoredRecord.federation, StoredRecord.subject).where(
            StoredRecord.origin == node.node_id,
            StoredRecord.kind == _KIND,
            col(StoredRecord.subject).like(f"%/{period}/%/{_CONTRIBUTE}"),
        )
    ).all()
    for federation, subject in said:
        given_up = session.exec(
            select(StoredRecord.origin)
            .where(StoredRecord.federation == federation, StoredRecord.kind == _KIND)
            .where(StoredRecord.subject == f"{subject.removesuffix(_CONTRIBUTE)}{_GIVE_UP}")
            .distinct()
        ).all()
        hub = session.get_one(Federation, federation).hub_id
        if hub not in given_up or len(given_up) < 2:
            raise Conflict(
                "period-frozen",
                f"{period} 已参加跨校精确合计，合计打开后本期不得更正；请等该年度的终版。",
                f"{period} is part of an exact total; a correction beside it would tell what it hides. "
                "Wait for the year's final vintage.",
                period=period,
            )

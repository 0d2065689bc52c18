"""To which federations a release goes, where the node is in several: to each what that one's signed grants ask for.

The bytes that were approved are the same everywhere; each federation gets them as a record of its own, in its own
stream. A federation that joined later gets what was approved before only when somebody approves it for that one too.
"""

from dataclasses import dataclass

from sqlmodel import Session, select

from node.context import Node
from node.indicators.models import Release, ReleaseItem, ReleaseRecord
from node.stream.listed import find_grants
from node.stream.models import Federation, StoredRecord
from node.stream.parents import list_meant
from node.stream.sealed import own_member
from node.stream.service import get_federation

KIND = "release"


@dataclass(frozen=True)
class Addressee:
    """One federation and the dataflows it gets, or has got."""

    id: str
    name: str
    dataflows: tuple[str, ...]
    sent: tuple[str, ...]  # of these, what lies in its stream already


def asks_for(session: Session, node: Node, federation: Federation, dataflow: str) -> bool:
    """Tell whether a federation's grants let this node give a dataflow to those who read its stream."""
    grants = find_grants(session, federation.id)
    if grants is None:  # none are signed: the audiences alone hold
        return True
    may_say = grants.may_say(own_member(session, node, federation), KIND)
    return may_say and grants.may_go(dataflow, dataflow.partition(".")[2])


def list_due(session: Session, node: Node, item: ReleaseItem) -> list[Federation]:
    """Return the federations that are meant, ask for this dataflow and have not got it.

    Where none of them asks for it, the first is told to refuse it: signing says why.
    """
    meant = list_meant(session, node) or [get_federation(session, node)]
    asking = [one for one in meant if asks_for(session, node, one, item.dataflow)] or meant[:1]
    sent = sent_to(session, item)
    return [one for one in asking if one.id not in sent]


def sent_to(session: Session, item: ReleaseItem) -> set[str]:
    """Return the ids of the federations in which this dataflow of a release is a record."""
    rows = session.exec(
        select(ReleaseRecord.federation).where(
            ReleaseRecord.release_id == item.release_id, ReleaseRecord.dataflow == item.dataflow
        )
    ).all()
    first = session.get(StoredRecord, item.record_id) if item.record_id else None
    return {*rows, *([first.federation] if first else [])}


def list_addressees(session: Session, node: Node, release: Release, items: list[ReleaseItem]) -> tuple[Addressee, ...]:
    """Return who gets or has got what of a release; nothing where the node is in one federation and none is to say."""
    meant = list_meant(session, node)
    if len(meant) < 2 and not node.federation:
        return ()
    sent = {item.dataflow: sent_to(session, item) for item in items}
    open_ = release.state in {"draft", "approved"}
    found = []
    for one in meant:
        got = tuple(flow for flow in sent if one.id in sent[flow])
        wanted = tuple(flow for flow in sent if flow in got or (open_ and asks_for(session, node, one, flow)))
        found.append(Addressee(one.id, one.name, wanted, got))
    return tuple(found)

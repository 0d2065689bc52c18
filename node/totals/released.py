"""What the contributors have released, and what follows from it alone: which cells are opened, which totals published.

Both are worked out by every node for itself. They cost seconds and are asked for at each step, so the last answers are
kept, by the ids of the releases.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.errors import Conflict
from federation.family import Layout, Totals, choose, find_family, lay_out, publish_totals
from federation.grants import ALL
from federation.periods import read_period
from federation.publications import Publication, read_publication
from node.context import Node
from node.stream.models import StoredRecord
from node.stream.service import CURRENT, get_home, read_content

_KEPT = 8


@dataclass(frozen=True)
class Released:
    """Each node's release of a period, as an outsider reads it; the same where the records are the same."""

    records: tuple[str, ...]
    by_node: Mapping[str, Publication] = field(compare=False)


def load_released(session: Session, node: Node, period: str, nodes: Iterable[str]) -> Released:
    """Return what these nodes have released to all of a period; who has not is left out."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    rows = session.exec(
        select(StoredRecord.origin, StoredRecord.subject, StoredRecord.revision, StoredRecord.id)
        .where(StoredRecord.federation == get_home(session, node).id, StoredRecord.kind == "release")
        .where(StoredRecord.state == CURRENT, StoredRecord.stream == ALL, col(StoredRecord.origin).in_(sorted(nodes)))
        .where(col(StoredRecord.subject).endswith(f"/{period}"))
    ).all()
    for origin, subject, revision, identity in rows:
        newest[origin, subject] = max(newest.get((origin, subject), (0, "")), (revision, identity))
    identities = tuple(identity for _, (_, identity) in sorted(newest.items()))
    if identities in _held:
        return _held[identities]
    contents: dict[str, list[dict[str, object]]] = {}
    for (origin, _), (_, identity) in sorted(newest.items()):
        contents.setdefault(origin, []).append(read_content(session.get_one(StoredRecord, identity)))
    found = Released(identities, {o: read_publication(load_catalogue(), told, o) for o, told in contents.items()})
    while len(_held) >= _KEPT:
        _held.pop(next(iter(_held)))
    _held[identities] = found
    return found


_held: dict[tuple[str, ...], Released] = {}


def choose_layout(family: str, period: str, released: Released, nodes: Iterable[str]) -> Layout:
    """Return the cells that may be opened over these nodes; raise Conflict where one of them has not released."""
    missing = sorted(set(nodes) - set(released.by_node))
    if missing:
        raise Conflict(
            "family-not-released",
            f"有 {len(missing)} 个节点尚未发布该期。",
            f"{len(missing)} nodes have not released this period.",
            missing=len(missing),
        )
    told = find_family(family).tables
    if any(code in told for one in released.by_node.values() for code, _ in one.between):
        raise Conflict(
            "family-noisy",
            "本族的数据流按名录约定加噪发布，加噪的数字不能与精确合计相互核对，因此不作精确合计。",
            "This family's dataflow is released with noise, which cannot be held against exact totals; there are none.",
        )
    return _layout(family, period, released)


@lru_cache(maxsize=_KEPT)
def _layout(family: str, period: str, released: Released) -> Layout:
    return choose(lay_out(load_catalogue(), find_family(family), read_period(period)), released.by_node)


@lru_cache(maxsize=_KEPT)
def choose_published(layout: Layout, totals: tuple[int, ...], released: Released) -> Totals:
    """Return which opened totals are published beside what was released; raise TrustError where they contradict it."""
    return publish_totals(load_catalogue(), layout, totals, released.by_node)

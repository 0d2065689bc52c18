"""The release ledger: what is public of this node, in the order in which it was signed.

An entry names a signed record and counts its cells; the figures stand in the record, once. Entries are made in the
transaction that signs; records from before there was a ledger are entered when it is first read.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.documents import dump_document, sha256_hex
from federation.dossier import Collected
from federation.grants import ALL
from federation.history import History, audit_history, audit_together, group_contents
from federation.keys import public_pem
from federation.publications import Publication
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from node.indicators.models import LedgerEntry
from node.indicators.past import list_published
from node.stream.models import Peer, PeerKey, StoredRecord
from node.stream.service import read_content


def enter_record(session: Session, record: StoredRecord) -> LedgerEntry:
    """Enter a signed release in the running transaction."""
    content = read_content(record)
    statuses = [told["status"] for told in content["observations"]]
    entry = LedgerEntry(
        record_id=record.id,
        position=record.position,
        audience=record.stream,
        dataflow=content["dataflow"],
        period=content["period"],
        revision=record.revision,
        published=statuses.count(VALUE),
        withheld=statuses.count(WITHHELD),
        content_sha256=sha256_hex(dump_document(content)),
    )
    session.add(entry)
    return entry


def list_ledger(node: Node, actor: Actor) -> list[LedgerEntry]:
    """Return all entries, oldest first."""
    check_permission(actor, "release.read")
    with node.database.write() as session:
        return whole_ledger(session, node)


def whole_ledger(session: Session, node: Node) -> list[LedgerEntry]:
    """Enter what was published before there was a ledger, and return all entries, oldest first."""
    held = set(session.exec(select(LedgerEntry.record_id)).all())
    for record in list_published(session, node):
        if record.id not in held:
            enter_record(session, record)
    session.flush()
    return list(session.exec(select(LedgerEntry).order_by(col(LedgerEntry.position))).all())


def export_ledger(node: Node, actor: Actor) -> list[tuple[str, bytes]]:
    """Return file name and envelope of every record in the ledger, exactly as signed."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        records = list_published(session, node)
    return [(f"{number:05d}-{record.id[:12]}.json", record.envelope) for number, record in enumerate(records, 1)]


def export_everybody(node: Node, actor: Actor) -> list[tuple[str, bytes]]:
    """Return all releases and all words of exact totals that this node holds for all, exactly as signed; and the keys.

    Who collects them can audit what all of a federation published together, from outside.
    """
    check_permission(actor, "release.read")
    with node.database.read() as session:
        records = session.exec(
            select(StoredRecord)
            .where(col(StoredRecord.kind).in_(("release", "sum")), StoredRecord.stream == ALL)
            .order_by(col(StoredRecord.position))
        ).all()
        keys = {*session.exec(select(Peer.public_key)).all(), *session.exec(select(PeerKey.public_key)).all()}
    files = [(f"{number:06d}-{record.id[:12]}.json", record.envelope) for number, record in enumerate(records, 1)]
    own = public_pem(node.signer.public_key)
    return [*files, ("public-keys.pem", "".join(sorted({*keys, own})).encode())]


def audit_own(node: Node, actor: Actor) -> History:
    """Audit everything this node published, from its signed records alone."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        return audit_contents(read_content(record) for record in list_published(session, node))


def audit_collected(collected: Collected) -> History:
    """Audit what several nodes released, each for itself and all together with the exact totals over them."""
    catalogue = load_catalogue()
    by_node = {one.origin: _publications(one.contents) for one in collected.dossiers}
    return audit_together(catalogue, by_node, collected.totals)


def audit_contents(contents: Iterable[Mapping[str, Any]]) -> History:
    """Audit the contents of one node's releases, in the order in which they were signed."""
    return audit_history(load_catalogue(), _publications(contents))


def _publications(contents: Iterable[Mapping[str, Any]]) -> list[Publication]:
    said = {dump_document(content): content for content in contents}  # once, whichever federations it went to
    return group_contents(load_catalogue(), said.values())

"""The release ledger: what is public of this node, in the order in which it was signed.

An entry names a signed record and counts its cells; the figures stand in the record, once. Entries are made in the
transaction that signs; records from before there was a ledger are entered when it is first read.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlmodel import Session, col, select

from federation.catalogue import load_catalogue
from federation.documents import dump_document, sha256_hex
from federation.history import History, audit_history, group_contents
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from node.indicators.models import LedgerEntry
from node.indicators.past import list_published
from node.stream.models import StoredRecord
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


def audit_own(node: Node, actor: Actor) -> History:
    """Audit everything this node published, from its signed records alone."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        return audit_contents(read_content(record) for record in list_published(session, node))


def audit_contents(contents: Iterable[Mapping[str, Any]]) -> History:
    """Audit the contents of one node's releases, in the order in which they were signed."""
    catalogue = load_catalogue()
    said = {dump_document(content): content for content in contents}  # once, whichever federations it went to
    return audit_history(catalogue, group_contents(catalogue, said.values()))

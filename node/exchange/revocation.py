"""What a revoked key signed: older evidence keeps it, else it is unproven until a key that stands signs the same bytes.

A key is revoked at a time, which may lie before anybody knew. A record stays current where this node took it in before
that time, or where its required witnesses had cosigned a log with it in by then (`federation.witness`); such a proof is
asked for from whomever we meet, and given only to those who may read the record. The rest is out of figures and pages.
"""

from typing import Any

from sqlalchemy import select as core_select
from sqlmodel import Session, col, select

from federation.client import Link
from federation.envelope import Envelope, add_signature, read_envelope, signed_by
from federation.errors import InputRefused, NetworkError, TrustError
from federation.evidence import write_evidence
from federation.keys import Member
from federation.request import Request
from federation.validation import check_schema
from federation.witness import Inclusion, Witnessed, check_witnessed, choose_required
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.db import next_number
from node.exchange.cosigning import active_members, standing_cosignatures
from node.exchange.heads import reads_stream
from node.exchange.inbox import Handlers, judge_again
from node.exchange.serving import Page
from node.exchange.shown import take_off
from node.prepared import Prepared
from node.stream.log import find_index, prove_record
from node.stream.models import (
    Federation,
    OutboxItem,
    OwnCheckpoint,
    PeerKey,
    ProvenRecord,
    StoredRecord,
)
from node.stream.outbox import WAITING
from node.stream.service import CURRENT, UNPROVEN, find_home, find_member, get_federation
from node.stream.standing import ACTIVE, REVOKED

OP = "log/proof"
MAX_ASKED = 50
_CHECKPOINTS = 50
_ANY_OLDER_KEY = Prepared(core_select(col(PeerKey.keyid)).where(col(PeerKey.status) != ACTIVE).limit(1))


def apply_revocations(node: Node, handlers: Handlers) -> int:
    """Take what revoked keys signed, and nothing shows to be older, off the screens; return how many records."""
    with node.database.read() as session:
        keys = session.exec(select(PeerKey).where(PeerKey.status == REVOKED)).all()
    return sum(_take_off(node, key, handlers) for key in keys)


def _take_off(node: Node, key: PeerKey, handlers: Handlers) -> int:
    if key.revoked_at is None:
        return 0
    count = 0
    with node.database.write() as session:
        suspect = session.exec(
            select(StoredRecord).where(
                StoredRecord.federation == key.federation,
                StoredRecord.origin == key.peer_id,
                StoredRecord.origin != node.node_id,
                StoredRecord.state == CURRENT,
                StoredRecord.stored_at >= key.revoked_at,
            )
        ).all()
        for stored in suspect:
            if _is_spared(session, node, key, read_envelope(stored.envelope)):
                continue
            proven = session.get(ProvenRecord, stored.id)
            if proven is not None and proven.witnessed_at < key.revoked_at:
                continue
            stored.state, stored.code = UNPROVEN, "key-revoked"
            session.add(stored)
            session.flush()
            count += 1
            take_off(session, handlers, stored)
    return count


def _is_spared(session: Session, node: Node, key: PeerKey, envelope: Envelope) -> bool:
    """Tell whether the key did not sign, or another listed key of its owner that is not revoked signed these bytes too.

    A signature is verified, not counted: whoever passes a record on can write any key id beside it.
    """
    if key.keyid not in envelope.keyids:
        return True
    federation = session.get_one(Federation, key.federation)
    for keyid in set(envelope.keyids) - {key.keyid}:
        other = find_member(session, node, federation, keyid)
        mine = other is not None and other.id == key.peer_id and other.revoked_at is None
        if other is not None and mine and signed_by(envelope, other.key):
            return True
    return False


def countersign(node: Node, actor: Actor) -> int:
    """Add our present key's signature to what a revoked key of ours signed, or a retired one after its day.

    Return how many records that were. The ids stay; the records go to their readers again. Raise NotPermitted.
    """
    check_permission(actor, "peer.write")
    own = node.signer.public_key
    count = 0
    with node.database.write() as session:
        for stored in session.exec(select(StoredRecord).where(StoredRecord.origin == node.node_id)).all():
            envelope = read_envelope(stored.envelope)
            if signed_by(envelope, own) or not _needs_another(session, node, stored, envelope):
                continue
            stored.envelope = add_signature(stored.envelope, node.signer)
            stored.position = next_number(session, "log")
            session.add(stored)
            for item in session.exec(select(OutboxItem).where(OutboxItem.record_id == stored.id)).all():
                item.state, item.updated_at = WAITING, node.clock()
                session.add(item)
            count += 1
        write_audit(session, account_id=actor.account_id, action="record.countersign", at=node.clock(), count=count)
    return count


def _needs_another(session: Session, node: Node, stored: StoredRecord, envelope: Envelope) -> bool:
    """Tell whether readers may ask what an older key of ours signed when."""
    federation = session.get_one(Federation, stored.federation)
    for keyid in envelope.keyids:
        key = find_member(session, node, federation, keyid)
        if key is None or key.id != node.node_id:
            continue
        late = key.retired_at is not None and stored.issued_at > key.retired_at
        if key.revoked_at is not None or (key.retired and late):
            return True
    return False


def last_checkpoint(node: Node) -> list[bytes]:
    """Return our last checkpoint and the cosignatures under it; raise InputRefused where there is none yet."""
    with node.database.read() as session:
        home = find_home(session, node)
        found = select(OwnCheckpoint).where(OwnCheckpoint.federation == (home.id if home else ""))
        row = session.exec(found.order_by(col(OwnCheckpoint.issued_at).desc()).limit(1)).first()
        if row is None:
            raise InputRefused("record-unknown", "还没有检查点。", "There is no checkpoint yet.")
        signed = standing_cosignatures(session, node, session.get_one(Federation, row.federation), row)
        return [row.envelope, *(one.envelope for one in signed[: MAX_ASKED - 2])]


def serve_proof(node: Node, opened: Request) -> tuple[Page, dict[str, Any]]:
    """Return the proof for one record to a member who may read it; else raise TrustError, as for one we do not hold."""
    check_schema("log-proof.v1", opened.body)
    with node.database.read() as session:
        federation = get_federation(session, node)
        stored = session.get(StoredRecord, opened.body["record"])
        ours = stored is not None and stored.federation == federation.id
        if stored is None or not ours or not reads_stream(opened.member, stored.stream, stored.origin):
            raise TrustError("record-unknown", "没有这个条目。", "There is no such record.")
        documents, inclusion = _prove(session, node, federation, stored)
    page = [(read_envelope(data).id, data) for data in documents]
    return Page(page, 0, more=False), inclusion


def export_proof(node: Node, actor: Actor, stored: StoredRecord) -> bytes:
    """Return a file (evidence.v1) that shows to a third person, off line, when witnesses had seen a record."""
    check_permission(actor, "release.read")
    with node.database.read() as session:
        proven = session.get(ProvenRecord, stored.id)
        if proven is not None:
            return proven.evidence
        federation = session.get_one(Federation, stored.federation)
        documents, inclusion = _prove(session, node, federation, stored)
    return write_evidence("witnessed", [stored.envelope, *documents], inclusion)


def fetch_proofs(node: Node, link: Link, handlers: Handlers) -> int:
    """Ask the provider for proofs of what is unproven here; return how many records are current again.

    A provider that has none, or is of an earlier version, is left alone.
    """
    with node.database.read() as session:
        if not _ANY_OLDER_KEY.all(session.connection(), {}):  # what was signed is proven by its key, nearly always
            return 0
        wanted = session.exec(
            select(StoredRecord)
            .where(StoredRecord.federation == link.provider.federation, StoredRecord.state == UNPROVEN)
            .order_by(col(StoredRecord.position).desc())
            .limit(MAX_ASKED)
        ).all()
    count = 0
    for stored in wanted:
        try:
            answer = link.ask(OP, {"record": stored.id}, at=node.clock())
            check_schema("inclusion.v1", answer.body)
        except NetworkError as error:
            if error.params.get("status") in {404, 405}:
                return count
            raise
        except TrustError as error:
            if error.code in {"record-unknown", "witness-missing", "schema-invalid"}:
                continue
            raise
        count += take_proof(node, stored.id, [item.raw for item in answer.enclosed], answer.body, handlers)
    return count


def take_proof(
    node: Node, record_id: str, documents: list[bytes], inclusion: dict[str, Any], handlers: Handlers
) -> bool:
    """Keep a proof that holds and judge its record again; tell whether the record is current now."""
    with node.database.write() as session:
        stored = session.get_one(StoredRecord, record_id)
        federation = session.get_one(Federation, stored.federation)
        try:
            shown = _check(session, node, federation, stored, documents, inclusion)
        except TrustError:
            return False
        session.merge(
            ProvenRecord(
                record_id=record_id,
                log=shown.log,
                witnessed_at=shown.at,
                evidence=write_evidence("witnessed", [stored.envelope, *documents], inclusion),
            )
        )
        session.flush()
        return judge_again(session, node, stored, handlers) == CURRENT


def _check(
    session: Session,
    node: Node,
    federation: Federation,
    stored: StoredRecord,
    documents: list[bytes],
    inclusion: dict[str, Any],
) -> Witnessed:
    def look_up(keyid: str) -> Member | None:
        return find_member(session, node, federation, keyid)

    path = tuple(bytes.fromhex(step) for step in inclusion["path"])
    return check_witnessed(
        stored.id,
        stored.origin,
        Inclusion(inclusion["index"], bytes.fromhex(inclusion["salt"]), path),
        documents,
        look_up,
        hub=federation.hub_id,
        members=active_members(session, node, federation),
    )


def _prove(
    session: Session, node: Node, federation: Federation, stored: StoredRecord
) -> tuple[list[bytes], dict[str, Any]]:
    """Return checkpoint, cosignatures and path: of the earliest checkpoint that all required witnesses cosigned."""
    index = find_index(session, stored.id)
    members = active_members(session, node, federation)
    for row in session.exec(
        select(OwnCheckpoint)
        .where(OwnCheckpoint.federation == federation.id, OwnCheckpoint.size > (-1 if index is None else index))
        .order_by(col(OwnCheckpoint.size), col(OwnCheckpoint.issued_at))
        .limit(_CHECKPOINTS)
    ).all():
        if index is None:
            break
        signed = {one.witness: one for one in standing_cosignatures(session, node, federation, row)}
        required = choose_required(
            signed, log=node.node_id, hub=federation.hub_id, members=members, not_counting=stored.origin
        )
        if required:  # they and no others: whoever reads it counts them anew
            shown = prove_record(session, index, row.size)
            return [row.envelope, *(signed[one].envelope for one in required)], {
                "index": shown.index,
                "salt": shown.salt.hex(),
                "path": [step.hex() for step in shown.path],
            }
    raise TrustError("witness-missing", "还没有足够的见证签名。", "The required witnesses have not cosigned it yet.")

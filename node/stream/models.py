"""Tables of the exchange's memory: records of our own and of others, where they lie in the log, what must go where."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel, UniqueConstraint

from node.db import UtcDateTime


class Federation(SQLModel, table=True):
    """A federation this node belongs to; the hub's own is made by `init --hub`."""

    id: str = Field(primary_key=True)  # f-...
    name: str
    hub_id: str
    joined_at: datetime = Field(sa_type=UtcDateTime)
    left_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # founded anew as another: kept to verify by
    list_version: int = Field(default=0, sa_type=BigInteger)  # of the member list in force; 0: none is signed yet


class Home(NamedTuple):
    """What a request needs to know of a federation."""

    id: str
    hub_id: str


class ListedDocument(SQLModel, table=True):
    """A document that came with the member list in force, verbatim: `grants.json`, `schemas/survey.v1.json`, ..."""

    __tablename__ = "listed_document"
    federation: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    content: bytes


class StoredRecord(SQLModel, table=True):
    """One signed record, verbatim. `position` is gapless over this node's log, assigned in the committing transaction.

    `state`: `current` (accepted or own); `quarantined` (took its place in the chain, content refused, `code` says why);
    `placeholder` (the envelope is the hub's signed refusal); `equivocal` (contradicted by its own origin); `sealed`
    (took its place, content not for us: `code` is `carried` where we only pass it on); `unproven` (its key was revoked
    and nothing shows that it was signed before that); `abandoned` (its origin was restored, does not know it, and began
    the stream anew). Of a sealed record that was opened, `opened` is the plaintext, so that no lost key costs what was
    read once; kind to revision are empty before.
    """

    __tablename__ = "stored_record"
    __table_args__ = (UniqueConstraint("federation", "origin", "stream", "sequence"),)
    id: str = Field(primary_key=True)  # SHA-256 (hex) of the pre-authentication encoding
    position: int = Field(unique=True, index=True, sa_type=BigInteger)
    federation: str
    origin: str = Field(index=True)
    stream: str  # the audience: `all`, `hub`, `node:<id>` or `group:<name>`
    sequence: int = Field(sa_type=BigInteger)
    previous: str  # id of the record before, "" for the first
    kind: str = Field(index=True)
    subject: str = Field(index=True)
    revision: int = Field(sa_type=BigInteger)  # whatever a record may say (up to 2^53) must be storable
    issued_at: datetime = Field(sa_type=UtcDateTime)
    stored_at: datetime = Field(sa_type=UtcDateTime)
    state: str = "current"
    code: str = ""
    envelope: bytes  # exactly as signed or received
    opened: bytes = b""


class OutboxItem(SQLModel, table=True):
    """One record that one peer must get; written with the record. `state`: waiting, delivered, refused."""

    __tablename__ = "outbox_item"
    __table_args__ = (UniqueConstraint("record_id", "peer_id"),)
    id: int | None = Field(default=None, primary_key=True)
    record_id: str = Field(foreign_key="stored_record.id")
    peer_id: str = Field(index=True)
    state: str = Field(default="waiting", index=True)
    verdict: str = ""  # what the receiver decided: accepted, quarantined, refused, waiting
    code: str = ""  # and why
    receipt: bytes = b""  # the receiver's signed receipt, verbatim; a refusal has none
    parcel: str = ""  # id of the parcel in which it lies in the hub's mailbox
    updated_at: datetime = Field(sa_type=UtcDateTime)


class Peer(SQLModel, table=True):
    """A node of a federation: the hub pinned by hand, the others from its signed member list; at the hub, enrolled.

    Keyed by (federation, id): a parent that lists another's college under its own key changes nothing there.
    """

    federation: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    name: str
    code: str = ""  # the union's statistical code
    url: str = ""  # empty: no listener
    public_key: str  # PEM
    keyid: str = Field(index=True)
    status: str = "active"  # or suspended: as listed; whether it counts now tells `node.stream.standing`
    held_from: datetime | None = Field(default=None, sa_type=UtcDateTime)  # with the next: one officer's hold
    held_until: datetime | None = Field(default=None, sa_type=UtcDateTime)
    is_hub: bool = False
    transport: str = "direct"  # or relay, file: how it wants to be reached
    groups: str = ""  # names, by blanks
    sealing_key: str = ""  # X25519, raw, base64
    cursor: int = Field(default=0, sa_type=BigInteger)  # position in this peer's log up to which we have pulled
    failures: int = 0  # in a row; with the three below: back-off, cleared by any verified contact
    next_try_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    failed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # a contact after it clears the back-off
    rest_until: datetime | None = Field(default=None, sa_type=UtcDateTime)  # its own `Retry-After`: for lists too
    last_success_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    last_error: str = ""  # stable code
    skew_seconds: int = 0  # its clock minus ours, at the last verified answer


class PeerKey(SQLModel, table=True):
    """Every key that the member list names of a peer. `status`: active, retired (signs nothing new) or revoked."""

    __tablename__ = "peer_key"
    federation: str = Field(primary_key=True)
    keyid: str = Field(primary_key=True)
    peer_id: str = Field(index=True)
    public_key: str  # PEM; the scheme belongs to the key
    status: str = "active"
    revoked_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # may lie before its discovery
    retired_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when this node first took it as retired


class MemberListFile(SQLModel, table=True):
    """One file of the last verified member list, verbatim, as any member serves it on. Replaced all at once."""

    __tablename__ = "member_list_file"
    federation: str = Field(primary_key=True)
    path: str = Field(primary_key=True)
    content: bytes


class MemberListState(SQLModel, table=True):
    """What is known of one federation's member list: the pinned root, what is held, and how the last refresh went."""

    __tablename__ = "member_list_state"
    federation: str = Field(primary_key=True)
    root: bytes  # as in the anchor: nothing but an anchor confirmed by people replaces it
    formerly: str = ""  # the federation from which this one was founded anew
    urls: str = ""  # the hub's addresses in the anchor, by blanks
    hub_keyid: str = ""  # of the anchor, for doctor and pages until there is a list
    own_groups: str = ""  # this node's own, by blanks
    versions: str = "{}"  # JSON, by role
    seen: str = "{}"  # JSON: the highest versions that anybody's signed word has named
    seen_from: str = ""  # who named the highest
    seen_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when that was named first
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # None: no list yet
    signed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # at the hub: its own last signature
    ageing: str = ""  # roles with less than half of their life before them, by blanks
    refreshed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # last success
    refreshed_from: str = ""
    tried_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str = ""  # code of what was refused last; "" after a success


class JoinRequest(SQLModel, table=True):
    """At the hub: what a node asks the officers for. `state`: pending, proposed, listed, dropped."""

    __tablename__ = "join_request"
    id: str = Field(primary_key=True)  # of the envelope
    node_id: str = Field(index=True)
    keyid: str
    kind: str
    name: str
    file: bytes
    state: str = "pending"
    draft: str = ""  # digest of the draft that grants it
    received_at: datetime = Field(sa_type=UtcDateTime)
    issued_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # as it says itself
    cosigned: bool = False  # a listed, active key of the member has signed it too


class ListDraft(SQLModel, table=True):
    """At the hub: a change of the list on its way to t officers. `state` as in federation.drafts.DRAFT_STATES."""

    __tablename__ = "list_draft"
    digest: str = Field(primary_key=True)  # of what the officers sign
    state: str
    file: bytes
    signed: int = 0  # signatures that are there, in the count that lacks most
    needed: int = 0
    formerly: str = ""  # of a founding: the federation from which it is founded anew
    changed_at: datetime = Field(sa_type=UtcDateTime)


class Receipt(SQLModel, table=True):
    """Our signed statement on a record that was pushed to us, or that we quarantined; identical on repeat."""

    record_id: str = Field(primary_key=True)
    id: str = Field(unique=True)  # of the receipt itself
    verdict: str  # accepted, quarantined
    code: str = ""
    envelope: bytes
    issued_at: datetime = Field(sa_type=UtcDateTime)


class WaitingDocument(SQLModel, table=True):
    """A record that comes too early: `sequence-gap` (verified) or `key-unknown` (not verified, never parsed)."""

    __tablename__ = "waiting_document"
    id: str = Field(primary_key=True)
    code: str = Field(index=True)
    federation: str
    origin: str = Field(default="", index=True)
    stream: str = ""
    sequence: int = Field(default=0, sa_type=BigInteger)
    keyids: str = ""  # who claims to have signed, by blanks
    via: str
    deliverer: str = ""  # the node that brought it
    envelope: bytes
    since_at: datetime = Field(sa_type=UtcDateTime)


class KnownGap(SQLModel, table=True):
    """A stream is known to go on up to `last`, and there was no room for what came: to be asked for."""

    __tablename__ = "known_gap"
    federation: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    last: int = Field(default=0, sa_type=BigInteger)


class RefusedDocument(SQLModel, table=True):
    """All that is left of what failed an outer step: digest of the bytes, reason, count."""

    __tablename__ = "refused_document"
    digest: str = Field(primary_key=True)
    code: str
    via: str
    count: int = 1
    first_at: datetime = Field(sa_type=UtcDateTime)
    last_at: datetime = Field(sa_type=UtcDateTime)


class Equivocation(SQLModel, table=True):
    """Proof that an origin signed two things for one place or one revision: two envelopes, whole."""

    id: str = Field(primary_key=True)  # of the second document
    first_id: str  # of the document held before
    federation: str = ""
    origin: str = Field(index=True)
    stream: str = ""
    sequence: int = Field(default=0, sa_type=BigInteger)
    first_envelope: bytes = b""
    envelope: bytes  # of the second
    found_at: datetime = Field(sa_type=UtcDateTime)
    shown: bool = False  # both are among the statements that readers of the stream are shown


class LogLeaf(SQLModel, table=True):
    """One leaf of this node's Merkle log: the record it stands for, and the salt that only its readers see."""

    __tablename__ = "log_leaf"
    index: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    record_id: str = Field(index=True)
    salt: bytes


class LogNode(SQLModel, table=True):
    """The hash of one complete subtree of the log; `place` counts them as they come to be (`federation.log`)."""

    __tablename__ = "log_node"
    place: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    hash: bytes


class OwnCheckpoint(SQLModel, table=True):
    """A checkpoint of this node's log as it was signed."""

    __tablename__ = "own_checkpoint"
    id: str = Field(primary_key=True)
    federation: str
    generation: int = Field(default=0, sa_type=BigInteger)  # of the log: a later one after a restore
    size: int = Field(index=True, sa_type=BigInteger)
    audit_size: int = Field(sa_type=BigInteger)
    audit_head: str
    envelope: bytes
    issued_at: datetime = Field(sa_type=UtcDateTime, index=True)


class Cosigned(SQLModel, table=True):
    """A cosignature: on our checkpoint by others, or by us (then `to_send` until its log's node has it)."""

    id: str = Field(primary_key=True)
    federation: str
    origin: str = Field(index=True)  # whose log
    witness: str = Field(index=True)
    checkpoint: str = Field(index=True)
    size: int = Field(sa_type=BigInteger)
    cosigned_at: datetime = Field(sa_type=UtcDateTime)
    to_send: bool = False
    envelope: bytes


class WitnessedLog(SQLModel, table=True):
    """The checkpoint of another node's log that we cosigned last: from it alone we go on."""

    __tablename__ = "witnessed_log"
    federation: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    generation: int = Field(default=0, sa_type=BigInteger)
    size: int = Field(sa_type=BigInteger)
    root: bytes
    checkpoint: bytes  # envelope
    audit_size: int = Field(sa_type=BigInteger)
    audit_head: str
    seen_at: datetime = Field(sa_type=UtcDateTime)
    alarm: str = ""  # code of the last refusal that somebody should look at; it stays
    alarm_at: datetime | None = Field(default=None, sa_type=UtcDateTime)


class OriginBreak(SQLModel, table=True):
    """An origin was restored and says so: its log, or a stream of it, does not go on from what was seen before."""

    __tablename__ = "origin_break"
    id: str = Field(primary_key=True)  # of the checkpoint or record that begins anew
    federation: str
    origin: str = Field(index=True)
    stream: str = ""  # "" for the log
    before: int = Field(sa_type=BigInteger)  # size of the log, or sequence of the stream, as it was seen before
    after: int = Field(sa_type=BigInteger)  # size of the new log, or the last sequence that its origin still knows
    first_envelope: bytes  # what showed `before`: both together are the evidence
    envelope: bytes
    found_at: datetime = Field(sa_type=UtcDateTime)
    shown: bool = False  # what was given up of a stream is among the statements that its readers are shown


class WitnessAsk(SQLModel, table=True):
    """A member's checkpoint on its way to a witness that only the hub meets, with the proof from what that holds."""

    __tablename__ = "witness_ask"
    federation: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    witness: str = Field(primary_key=True)
    old_size: int = Field(sa_type=BigInteger)
    path: str  # hex, by blanks
    checkpoint: bytes


class Statement(SQLModel, table=True):
    """A signed document that readers of a stream are shown: heads (ours, an origin's own), both halves of a proof."""

    id: str = Field(primary_key=True)
    position: int = Field(unique=True, sa_type=BigInteger)
    federation: str
    issuer: str
    stream: str
    origin: str  # whose stream; "" for several origins of one audience
    issued_at: datetime = Field(sa_type=UtcDateTime)
    envelope: bytes


class HeadClaim(SQLModel, table=True):
    """The last that `issuer` said of the head of one stream."""

    __tablename__ = "head_claim"
    federation: str = Field(primary_key=True)
    issuer: str = Field(primary_key=True)
    origin: str = Field(primary_key=True)
    stream: str = Field(primary_key=True)
    sequence: int = Field(sa_type=BigInteger)
    record_id: str
    statement: str = Field(index=True)  # id
    issued_at: datetime = Field(sa_type=UtcDateTime)


class PeerStatements(SQLModel, table=True):
    """How far we and a peer have shown each other our statements."""

    __tablename__ = "peer_statements"
    federation: str = Field(primary_key=True)
    peer_id: str = Field(primary_key=True)
    cursor: int = Field(default=0, sa_type=BigInteger)  # position among its own, up to which we have them
    sent: int = Field(default=0, sa_type=BigInteger)  # position among ours, up to which it has them
    witnessed: int = Field(default=0, sa_type=BigInteger)  # size of our log that it says it has cosigned
    witnessed_at: datetime | None = Field(default=None, sa_type=UtcDateTime)  # when it said so


class ProvenRecord(SQLModel, table=True):
    """Evidence that a record was in a log before a time: all required witnesses had cosigned it by then."""

    __tablename__ = "proven_record"
    record_id: str = Field(primary_key=True)
    log: str
    witnessed_at: datetime = Field(sa_type=UtcDateTime)
    evidence: bytes  # evidence.v1


class UsedNonce(SQLModel, table=True):
    """A request that was answered; kept until its window has passed."""

    __tablename__ = "used_nonce"
    origin: str = Field(primary_key=True)  # federation and id, by a blank
    nonce: str = Field(primary_key=True)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class PeerRead(SQLModel, table=True):
    """How often and how far a peer has read our log."""

    __tablename__ = "peer_read"
    federation: str = Field(primary_key=True)
    peer_id: str = Field(primary_key=True)
    pulls: int = 0
    cursor: int = Field(default=0, sa_type=BigInteger)
    last_at: datetime = Field(sa_type=UtcDateTime)


class Lease(SQLModel, table=True):
    """Who is doing one thing now, so that two processes on one database never do it twice, and when it is due again.

    Free when `holder` is empty, when `expires_at` has passed, or when the holder's process is gone.
    """

    name: str = Field(primary_key=True)  # `job:sync`, `peer:n-...`
    holder: str = ""
    expires_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    due_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    started_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    finished_at: datetime | None = Field(default=None, sa_type=UtcDateTime)
    error: str = ""  # code of the last run's failure

"""The numbered steps in which a received record is believed: a pure state machine, cheap before costly.

    outer steps: may it take its place?             inner steps: may its content count?
     1 size                                         10 open what is sealed; the plaintext committed to
     2 envelope in its one spelling                 11 schema by id, version and SHA-256
     3 known payload type                           12 grant: who may say this, in which schema, to whom
     4 key of an active member                      13 policy, by whoever keeps the content (a handler)
     5 signature over the payload bytes             14 revision: previous + 1, naming what it supersedes
     6 strict JSON, once; version; shape
     7 the origin owns that key
     8 audience: our federation, and we may read it
     9 sequence and previous

Position and content are believed separately. What fails an outer step leaves nothing but digest and reason; a gap or an
unknown key waits. What fails an inner step keeps its place in the chain, so that what follows is not held up by it; so
does what is sealed to others (a hub carries it, a member that joins later finds it): the outer steps of a sealed record
are taken on its clear header alone. Nothing of a stranger's payload is parsed. Nothing here stores: callers do, in one
transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from federation.dialect import check_listed_schema
from federation.documents import read_object, read_time, sha256_hex
from federation.envelope import (
    RECEIPT_TYPE,
    RECORD_TYPE,
    SEALED_TYPE,
    Envelope,
    check_signature,
    check_signed_by,
    check_type,
    read_envelope,
)
from federation.errors import TrustError
from federation.generations import REOPENING, may_reopen
from federation.grants import ALL, HUB, HUB_KINDS, NO_GRANT, Grants, dataflow_of
from federation.keys import Member
from federation.request import signing_member
from federation.sealing import UNREADABLE, Keyring, check_commitment, read_inner, unseal
from federation.validation import check_schema
from schemas import has_schema, schema_digest

VERSION = 1
KEY_REVOKED, KEY_RETIRED = "key-revoked", "key-retired"
NO_KEYS = Keyring()
_PLACE = ("version", "origin", "audience", "stream", "sequence", "previous", "issued_at")
WAITING_CODES = frozenset({"key-unknown", "sequence-gap"})


class Verdict(StrEnum):
    """What became of one received document."""

    PLACED = "placed"  # outer steps hold, inner ones not taken yet
    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    SEALED = "sealed"  # keeps its place; its content is for others, or was before our time
    DUPLICATE = "duplicate"
    WAITING = "waiting"
    REFUSED = "refused"


@dataclass(frozen=True)
class Record:
    """A record whose signature, shape and origin hold. `id` is that of its envelope.

    Of a sealed one, kind to content are empty until it is opened; `opened` is its plaintext then.
    """

    id: str
    envelope: bytes
    keyid: str
    kind: str
    federation: str
    origin: str
    stream: str
    sequence: int
    previous: str
    issued_at: datetime
    schema: str  # name such as `release.v1`
    schema_sha256: str
    subject: str
    revision: int
    supersedes: str
    policy: str
    content: dict[str, Any]
    sealed: Mapping[str, Any] | None = field(default=None, repr=False)  # the payload of a sealed record
    opened: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Refusal:
    """A signed statement, by hub or origin, of a record that it does not hand to us; stands in that record's place."""

    envelope: bytes
    federation: str
    record_id: str
    origin: str
    stream: str
    sequence: int
    code: str
    issued_at: datetime
    own_word: bool = False  # by the record's own origin: then its id is what the origin says stands there


@dataclass(frozen=True)
class Receipt:
    """A verified receipt: `verdict` is accepted or quarantined, `code` says why."""

    envelope: bytes
    record_id: str
    verdict: str
    code: str
    issued_at: datetime


@dataclass(frozen=True)
class Outcome:
    """What became of one document, why (`code`), and what its sender may need to know."""

    verdict: Verdict
    code: str = ""
    record_id: str = ""
    record: Record | None = None
    have: int = 0  # with `sequence-gap`: the highest sequence held of that stream
    conflicts_with: str = ""  # with `equivocation` and `previous-mismatch`: the id held before
    refusal: Refusal | None = None
    known: int | None = None  # of a record that begins a stream anew: the last place that its origin still knows


@dataclass(frozen=True)
class Reader:
    """Who reads: decides which audiences include us."""

    node_id: str
    federation: str
    is_hub: bool
    groups: frozenset[str] = frozenset()

    def is_addressed(self, stream: str, origin: str) -> bool:
        """Tell whether a stream's content is for us: another's that is addressed to us, or our own."""
        return (
            origin == self.node_id
            or stream in {ALL, f"node:{self.node_id}"}
            or (stream == HUB and self.is_hub)
            or (stream.startswith("group:") and stream.removeprefix("group:") in self.groups)
        )


@dataclass(frozen=True)
class Held:
    """A record that is held already. `placeholder`: only the hub's refusal stands there. `sealed`: to others.

    `unproven`: its key was revoked, and nothing shows that it is older.
    """

    id: str
    sequence: int
    placeholder: bool = False
    sealed: bool = False
    origin: str = ""
    stream: str = ""
    previous: str = ""
    unproven: bool = False


class Memory(Protocol):
    """What the state machine needs to know of what is held; all within one federation."""

    def find_member(self, keyid: str) -> Member | None:
        """Return who owns this key in the federation's member list."""

    def find_record(self, record_id: str) -> Held | None:
        """Return the record of this id."""

    def find_at(self, origin: str, stream: str, sequence: int) -> Held | None:
        """Return the record that holds this place."""

    def find_head(self, origin: str, stream: str) -> Held | None:
        """Return the record of the highest sequence of a stream."""

    def is_older(self, record_id: str, at: datetime) -> bool:
        """Tell whether evidence shows the record to be older than `at`: we took it in before, or witnesses saw it."""

    def find_revisions(self, origin: str, stream: str, subject: str) -> list[tuple[int, str]]:
        """Return (revision, id) of all held records of a subject whose revision number itself was sound."""

    def find_grants(self) -> Grants | None:
        """Return the grants in force; None where the federation has signed none, so that only the old rules hold."""

    def find_schema(self, name: str) -> bytes:
        """Return the schema of this name (`survey.v1`) that came with the member list; b"" where there is none."""


def read_signed_record(data: bytes, find_member: Callable[[str], Member | None]) -> tuple[Record, Member]:
    """Take steps 1 to 7, as much as can be said without any stream; raise TrustError with a stable code."""
    envelope = read_envelope(data)  # 1 size, 2 shape
    _check_record_type(envelope)  # 3
    return _read_record(envelope, find_member)


def accept_outer(data: bytes, memory: Memory, reader: Reader) -> Outcome:
    """Take the outer steps. Never raises for what a stranger may send: every fault is an Outcome with its code."""
    identity = ""
    try:
        envelope = read_envelope(data)  # 1 size, 2 shape
        identity = envelope.id
        if envelope.payload_type == RECEIPT_TYPE:
            return _accept_refusal(envelope, memory, reader)
        _check_record_type(envelope)  # 3
        record, member = _read_record(envelope, memory.find_member)  # 4 to 7
        _check_audience(record, member, reader)  # 8
        return _check_proof(_place(record, memory), record, memory)  # 9
    except TrustError as error:
        verdict = Verdict.WAITING if error.code in WAITING_CODES else Verdict.REFUSED
        return Outcome(verdict, error.code, identity)


def open_record(record: Record, keyring: Keyring) -> Record:
    """Step 10: return the record with what was sealed in it; raise TrustError, of UNREADABLE where it is not for us."""
    if record.sealed is None or record.opened:
        return record
    return _with_inner(record, unseal(record.sealed, keyring))


def open_with_plaintext(record: Record, inner: bytes) -> Record:
    """Return a sealed record with the plaintext that somebody shows; raise TrustError where it commits to another."""
    if record.sealed is None:
        raise TrustError("type-mismatch", "这个条目没有密封。", "This record is not sealed.")
    check_commitment(record.sealed, inner)
    return _with_inner(record, inner)


def accept_inner(record: Record, memory: Memory, keyring: Keyring = NO_KEYS) -> Outcome:
    """Take the inner steps that need no handler: accepted, sealed to others, or quarantined with its code."""
    try:
        _check_key(record, memory)
        record = open_record(record, keyring)  # 10
        check_content_schema(record, memory.find_schema)  # 11
        check_grant(record, memory.find_member(record.keyid), memory.find_grants())  # 12
        _check_revision(record, memory)  # 14
    except TrustError as error:
        conflict = str(error.params.get("conflicts_with", ""))
        verdict = Verdict.SEALED if error.code in UNREADABLE else Verdict.QUARANTINED
        return Outcome(verdict, error.code, record.id, record, conflicts_with=conflict)
    return Outcome(Verdict.ACCEPTED, "", record.id, record)


def check_content_schema(record: Record, find_schema: Callable[[str], bytes] = lambda _: b"") -> None:
    """Step 11: the content conforms to the very schema that the record names, and that schema belongs to its kind.

    The schema is this program's, or one that came with the member list (`find_schema` by name).
    """
    if record.schema.partition(".")[0] != record.kind:
        raise TrustError("schema-kind", "条目类型与格式定义不符。", "The schema does not belong to this kind.")
    if has_schema(record.schema) and schema_digest(record.schema) == record.schema_sha256:
        check_schema(record.schema, record.content)
        return
    listed = find_schema(record.schema)
    if listed and sha256_hex(listed) == record.schema_sha256:
        check_listed_schema(record.schema, listed, record.content)
        return
    if listed or has_schema(record.schema):
        raise TrustError("schema-digest", "格式定义的摘要不符。", "The schema has another digest here.")
    if has_schema(f"{record.kind}.v1"):
        raise TrustError(
            "schema-unknown", "不认识的格式定义，请升级本节点。", "The schema is unknown; update this node."
        )
    raise TrustError("kind-unknown", "不认识的条目类型。", "The kind is unknown here.")


def open_receipt(envelope: Envelope, issuer: Member) -> Receipt:
    """Verify and read what `issuer` says of a record of ours; raise TrustError with a stable code."""
    check_type(envelope, RECEIPT_TYPE)
    check_signed_by(envelope, issuer.keys)
    payload = read_receipt_payload(envelope)
    if (payload["issuer"], payload["federation"]) != (issuer.id, issuer.federation):
        raise TrustError("origin-mismatch", "回执冒用他人名义。", "The receipt is in another node's name.")
    named = payload["record"]["id"]
    return Receipt(envelope.raw, named, payload["verdict"], payload["code"], read_time(payload["issued_at"]))


def _read_record(envelope: Envelope, find_member: Callable[[str], Member | None]) -> tuple[Record, Member]:
    member = signing_member(envelope, find_member, older_keys=True)  # 4 key of an active member, however old
    check_signature(envelope, member.key)  # 5 signature over the payload bytes
    payload = read_object(envelope.payload)  # 6 strict JSON, once
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的条目版本，请升级本节点。", "Unknown version; update this node.")
    read = _read_sealed if envelope.payload_type == SEALED_TYPE else _read_payload
    record = read(envelope, payload, member)
    if record.origin != member.id:  # 7 the origin owns that key
        raise TrustError("origin-mismatch", "条目冒用他人名义。", "The record is in another node's name.")
    return record, member


def _check_record_type(envelope: Envelope) -> None:
    if envelope.payload_type != SEALED_TYPE:
        check_type(envelope, RECORD_TYPE)


def _read_sealed(envelope: Envelope, payload: Mapping[str, Any], member: Member) -> Record:
    check_schema("sealed.v1", payload)
    _check_stream(payload)
    return Record(
        **_place_of(envelope, payload, member),
        kind="",
        schema="",
        schema_sha256="",
        subject="",
        revision=0,
        supersedes="",
        policy="",
        content={},
        sealed=payload,
    )


def _with_inner(record: Record, inner: bytes) -> Record:
    """Return the sealed record as if it had come in clear: its place of the header, all else of the plaintext."""
    payload = record.sealed or {}
    said = {name: value for name, value in read_inner(inner).items() if name != "salt"}
    place = {name: payload[name] for name in _PLACE}
    content = _content_of({**place, **said})
    return replace(record, **_said_in(said, content), opened=inner)


def _read_payload(envelope: Envelope, payload: Mapping[str, Any], member: Member) -> Record:
    content = _content_of(payload)
    _check_stream(payload)
    return Record(**_place_of(envelope, payload, member), **_said_in(payload, content))


def _content_of(payload: Mapping[str, Any]) -> dict[str, Any]:
    content = payload.get("content")
    if not isinstance(content, dict):
        raise TrustError("schema-invalid", "条目缺少内容。", "The record has no content.", place="/content")
    check_schema("record.v1", {**payload, "content": {}})  # the content has its own schema, and its own step
    return content


def _check_stream(payload: Mapping[str, Any]) -> None:
    if payload["audience"]["readers"] != payload["stream"]:
        raise TrustError("stream-audience", "一个交换流只有一个对象。", "A stream has one audience; this is another.")


def _place_of(envelope: Envelope, payload: Mapping[str, Any], member: Member) -> dict[str, Any]:
    return {
        "id": envelope.id,
        "envelope": envelope.raw,
        "keyid": member.key.keyid,
        "federation": payload["audience"]["federation"],
        "origin": payload["origin"],
        "stream": payload["stream"],
        "sequence": payload["sequence"],
        "previous": payload["previous"],
        "issued_at": read_time(payload["issued_at"]),
    }


def _said_in(payload: Mapping[str, Any], content: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: payload[name] for name in ("kind", "subject", "revision", "supersedes", "policy")},
        "schema": f"{payload['schema']['id']}.v{payload['schema']['version']}",
        "schema_sha256": payload["schema"]["sha256"],
        "content": content,
    }


def _check_audience(record: Record, member: Member, reader: Reader) -> None:
    ours = record.federation == reader.federation == member.federation
    carried = reader.is_hub and record.sealed is not None  # the hub passes on what it cannot read
    if not (ours and (carried or reader.is_addressed(record.stream, record.origin))):
        raise TrustError("audience-mismatch", "条目的对象不包括本节点。", "The record is not meant for this node.")


def _place(record: Record, memory: Memory) -> Outcome:
    """Step 9: the record is new, and follows the one before it.

    What its origin signed takes a placeholder's place whatever id the refusal names, and its own `previous` counts
    beside one: a refusal is somebody else's word. So does what a key that stands signed take the place of what a
    revoked one signed and nothing shows to be older: that may be a thief's.
    """
    outcome = Outcome(Verdict.PLACED, "", record.id, record)
    there = memory.find_at(record.origin, record.stream, record.sequence)
    if there is None:
        before = memory.find_head(record.origin, record.stream)
        have = before.sequence if before else 0
        if record.sequence != have + 1:
            return _away(record, memory, outcome, have)
    elif there.id == record.id and not there.placeholder:
        return replace(outcome, verdict=Verdict.DUPLICATE)
    elif not (there.placeholder or there.unproven):
        return replace(outcome, verdict=Verdict.REFUSED, code="equivocation", conflicts_with=there.id)
    else:
        if there.unproven:
            _check_key(record, memory)
        before = memory.find_at(record.origin, record.stream, record.sequence - 1)
        after = memory.find_at(record.origin, record.stream, record.sequence + 1)
        if after is not None and not (after.placeholder or after.unproven) and after.previous != record.id:
            return replace(outcome, verdict=Verdict.REFUSED, code="previous-mismatch", conflicts_with=after.id)
    vouched = before is not None and before.placeholder and record.previous != ""
    held = before.id if before else ""
    if record.previous != held and not vouched:  # two ids at the place before: a contradiction, but for a thief's
        proven = "" if before is not None and before.unproven else held
        return replace(outcome, verdict=Verdict.REFUSED, code="previous-mismatch", conflicts_with=proven)
    return outcome


def _check_proof(outcome: Outcome, record: Record, memory: Memory) -> Outcome:
    """Raise TrustError where what contradicts another record may be a thief's: it is no word of its origin."""
    if outcome.conflicts_with:
        _check_key(record, memory)
    return outcome


def _away(record: Record, memory: Memory, outcome: Outcome, have: int) -> Outcome:
    """Place a record that begins its stream anew after one that is known here; else it leaves a gap.

    A free place before the head was left out for good when the stream began anew.
    """
    if record.sequence <= have:
        return replace(outcome, verdict=Verdict.REFUSED, code="stream-reopened")
    known = memory.find_record(record.previous) if record.previous else None
    ours = known is not None and (known.origin, known.stream) == (record.origin, record.stream)
    if may_reopen(record.sequence) and (ours or not record.previous):
        return replace(outcome, known=known.sequence if known else 0)
    return replace(outcome, verdict=Verdict.WAITING, code="sequence-gap", have=have)


def _check_key(record: Record, memory: Memory) -> None:
    """Before the inner steps: what an older key signed is unproven, unless evidence shows that it is older.

    Of a key that was merely retired, the record's own time is believed up to then: nobody calls it stolen.
    """
    member = memory.find_member(record.keyid)
    revoked_at = member.revoked_at if member else None
    if revoked_at is not None and not memory.is_older(record.id, revoked_at):
        raise TrustError(KEY_REVOKED, "签名密钥已作废，且无证据表明签于作废之前。", "Its key was revoked; unproven.")
    rested_at = member.retired_at if member else None
    if rested_at is not None and record.issued_at > rested_at and not memory.is_older(record.id, rested_at):
        raise TrustError(KEY_RETIRED, "该密钥更换之后才签名。", "Signed after its key was replaced; unproven.")


def check_grant(record: Record, member: Member | None, grants: Grants | None) -> None:
    """Step 12: its origin may say this kind, in this schema, and all its readers may read that; raise TrustError."""
    if record.kind == REOPENING:  # what an origin says of its own stream needs no grant
        return
    if grants is None:  # none are signed: an earlier federation
        allowed = record.kind not in HUB_KINDS or bool(member and member.is_hub)
    else:
        dataflow = dataflow_of(record.kind, record.subject)
        allowed = member is not None and grants.may_say(member, record.kind)
        allowed = allowed and (not dataflow or grants.may_go(dataflow, record.stream))
    if not allowed:
        raise TrustError(
            "grant-missing",
            "授权不允许该节点向这些对象发布此类条目。",
            "No grant allows this node to publish this kind to these readers.",
        )
    if grants is not None:
        grants.check_term(record.kind, record.schema, record.issued_at)


def _check_revision(record: Record, memory: Memory) -> None:
    known = memory.find_revisions(record.origin, record.stream, record.subject)
    held = [(revision, identity) for revision, identity in known if identity != record.id]
    for revision, identity in held:
        if revision == record.revision:
            raise TrustError(
                "equivocation",
                "同一修订号有两个不同的条目。",
                "Two records claim one revision of one subject.",
                conflicts_with=identity,
            )
    top = max((revision for revision, _ in held), default=0)
    if record.revision > top + 1:  # the one before may be known by the hub's refusal alone, or be sealed to others
        before = memory.find_record(record.supersedes)
        here = before is not None and (before.origin, before.stream) == (record.origin, record.stream)
        if before is not None and here and (before.placeholder or before.sealed):
            return
    if record.revision != top + 1:
        raise TrustError("revision-skips", "修订号不连续。", "The revision does not follow the one held.", have=top)
    allowed = {identity for revision, identity in held if revision == top} or {""}
    if record.supersedes not in allowed:
        raise TrustError("supersedes-mismatch", "未指明所替代的条目。", "It names another record as superseded.")


def _accept_refusal(envelope: Envelope, memory: Memory, reader: Reader) -> Outcome:
    """Take a hub's refusal in place of a record until that comes itself: same steps; nobody may stand in for us."""
    member = signing_member(envelope, memory.find_member)
    check_signature(envelope, member.key)
    payload = read_receipt_payload(envelope)
    # An origin may say that its record is not for us, and nothing else: it could withdraw what it said, unseen.
    own_word = payload["record"]["origin"] == member.id and payload["code"] == NO_GRANT
    if payload["issuer"] != member.id or not (member.is_hub or own_word):
        raise TrustError("origin-mismatch", "只有汇总节点可以代替条目。", "Only the hub may stand in for a record.")
    if payload["federation"] != reader.federation or payload["verdict"] != "quarantined":
        raise TrustError("audience-mismatch", "回执不能代替条目。", "This receipt cannot stand in for a record.")
    named = payload["record"]
    if named["origin"] == reader.node_id:  # what we said is for us to know: else a hub could write into our stream
        raise TrustError("origin-mismatch", "他人不能代替本节点的条目。", "Nobody stands in for a record of ours.")
    if not (reader.is_hub or reader.is_addressed(named["stream"], named["origin"])):
        raise TrustError("audience-mismatch", "条目的对象不包括本节点。", "The record is not meant for this node.")
    refusal = Refusal(
        envelope.raw,
        payload["federation"],
        named["id"],
        named["origin"],
        named["stream"],
        named["sequence"],
        payload["code"],
        read_time(payload["issued_at"]),
        own_word=named["origin"] == member.id,
    )
    outcome = Outcome(Verdict.PLACED, payload["code"], named["id"], refusal=refusal)
    there = memory.find_at(refusal.origin, refusal.stream, refusal.sequence)
    if there is not None and there.id != refusal.record_id and refusal.own_word:  # its record here says otherwise
        verdict, code = (Verdict.DUPLICATE, "") if there.placeholder else (Verdict.REFUSED, "equivocation")
        return replace(outcome, verdict=verdict, code=code, conflicts_with=there.id)
    if there or memory.find_record(refusal.record_id):
        return replace(outcome, verdict=Verdict.DUPLICATE)
    head = memory.find_head(refusal.origin, refusal.stream)
    have = head.sequence if head else 0
    if refusal.sequence != have + 1:
        return replace(outcome, verdict=Verdict.WAITING, code="sequence-gap", have=have)
    return outcome


def is_own_word(envelope: bytes) -> bool:
    """Tell whether a refusal whose signature was checked is by the origin of the record that it names."""
    said = read_receipt_payload(read_envelope(envelope))
    return bool(said["issuer"] == said["record"]["origin"])


def read_receipt_payload(envelope: Envelope) -> dict[str, Any]:
    """Read the payload of a receipt whose signature was checked; raise TrustError."""
    check_type(envelope, RECEIPT_TYPE)
    payload = read_object(envelope.payload)
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的回执版本，请升级本节点。", "Unknown version; update this node.")
    check_schema("receipt.v1", payload)
    return payload

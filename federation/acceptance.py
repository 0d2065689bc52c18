"""The numbered steps in which a received record is believed: a pure state machine, cheap before costly.

    outer steps: may it take its place?             inner steps: may its content count?
     1 size                                         10 schema by id, version and SHA-256
     2 envelope in its one spelling                 11 grant: may this origin say this kind of thing
     3 known payload type                           12 policy, by whoever keeps the content (a handler)
     4 key of an active member                      13 revision: previous + 1, naming what it supersedes
     5 signature over the payload bytes
     6 strict JSON, once; version; shape
     7 the origin owns that key
     8 audience: our federation, and we may read it
     9 sequence and previous

Position and content are believed separately. What fails an outer step leaves nothing but digest and reason; a gap or an
unknown key waits. What fails an inner step keeps its place in the chain, so that what follows is not held up by it.
Nothing of a stranger's payload is parsed. Nothing here stores: callers do, in one transaction.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from federation.documents import read_object, read_time
from federation.envelope import (
    RECEIPT_TYPE,
    RECORD_TYPE,
    Envelope,
    check_signature,
    check_signed_by,
    check_type,
    read_envelope,
)
from federation.errors import TrustError
from federation.keys import Member
from federation.request import signing_member
from federation.validation import check_schema
from schemas import schema_digest

VERSION = 1
ALL, HUB = "all", "hub"
HUB_KINDS = frozenset({"member-list", "review"})  # only the hub may say these
KEY_REVOKED = "key-revoked"
WAITING_CODES = frozenset({"key-unknown", "sequence-gap"})


class Verdict(StrEnum):
    """What became of one received document."""

    PLACED = "placed"  # outer steps hold, inner ones not taken yet
    ACCEPTED = "accepted"
    QUARANTINED = "quarantined"
    DUPLICATE = "duplicate"
    WAITING = "waiting"
    REFUSED = "refused"


@dataclass(frozen=True)
class Record:
    """A record whose signature, shape and origin hold. `id` is that of its envelope."""

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


@dataclass(frozen=True)
class Refusal:
    """The hub's signed statement that it holds a record which it does not forward; stands in that record's place."""

    envelope: bytes
    federation: str
    record_id: str
    origin: str
    stream: str
    sequence: int
    code: str
    issued_at: datetime


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


@dataclass(frozen=True)
class Reader:
    """Who reads: decides which audiences include us."""

    node_id: str
    federation: str
    is_hub: bool


@dataclass(frozen=True)
class Held:
    """A record that is held already. `placeholder`: only the hub's refusal stands there."""

    id: str
    sequence: int
    placeholder: bool = False


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


def read_signed_record(data: bytes, find_member: Callable[[str], Member | None]) -> tuple[Record, Member]:
    """Take steps 1 to 7, as much as can be said without any stream; raise TrustError with a stable code."""
    envelope = read_envelope(data)  # 1 size, 2 shape
    check_type(envelope, RECORD_TYPE)  # 3
    return _read_record(envelope, find_member)


def accept_outer(data: bytes, memory: Memory, reader: Reader) -> Outcome:
    """Take the outer steps. Never raises for what a stranger may send: every fault is an Outcome with its code."""
    identity = ""
    try:
        envelope = read_envelope(data)  # 1 size, 2 shape
        identity = envelope.id
        if envelope.payload_type == RECEIPT_TYPE:
            return _accept_refusal(envelope, memory, reader)
        check_type(envelope, RECORD_TYPE)  # 3
        record, member = _read_record(envelope, memory.find_member)  # 4 to 7
        _check_audience(record, member, reader)  # 8
        return _place(record, memory)  # 9
    except TrustError as error:
        verdict = Verdict.WAITING if error.code in WAITING_CODES else Verdict.REFUSED
        return Outcome(verdict, error.code, identity)


def accept_inner(record: Record, memory: Memory) -> Outcome:
    """Take the inner steps that need no handler: accepted, or quarantined with its code."""
    try:
        _check_key(record, memory)
        check_content_schema(record)  # 10
        _check_grant(record, memory)  # 11
        _check_revision(record, memory)  # 13
    except TrustError as error:
        conflict = str(error.params.get("conflicts_with", ""))
        return Outcome(Verdict.QUARANTINED, error.code, record.id, record, conflicts_with=conflict)
    return Outcome(Verdict.ACCEPTED, "", record.id, record)


def check_content_schema(record: Record) -> None:
    """Step 10: the content conforms to the very schema that the record names, and that schema belongs to its kind."""
    if record.schema.partition(".")[0] != record.kind:
        raise TrustError("schema-kind", "条目类型与格式定义不符。", "The schema does not belong to this kind.")
    try:
        digest = schema_digest(record.schema)
    except KeyError as error:
        raise TrustError(
            "schema-unknown", "不认识的格式定义，请升级本节点。", "The schema is unknown; update this node."
        ) from error
    if digest != record.schema_sha256:
        raise TrustError("schema-digest", "格式定义的摘要不符。", "The schema has another digest here.")
    check_schema(record.schema, record.content)


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
    member = signing_member(envelope, find_member)  # 4 key of an active member
    check_signature(envelope, member.key)  # 5 signature over the payload bytes
    payload = read_object(envelope.payload)  # 6 strict JSON, once
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的条目版本，请升级本节点。", "Unknown version; update this node.")
    record = _read_payload(envelope, payload, member)
    if record.origin != member.id:  # 7 the origin owns that key
        raise TrustError("origin-mismatch", "条目冒用他人名义。", "The record is in another node's name.")
    return record, member


def _read_payload(envelope: Envelope, payload: Mapping[str, Any], member: Member) -> Record:
    content = payload.get("content")
    if not isinstance(content, dict):
        raise TrustError("schema-invalid", "条目缺少内容。", "The record has no content.", place="/content")
    check_schema("record.v1", {**payload, "content": {}})  # the content has its own schema, and its own step
    if payload["audience"]["readers"] != payload["stream"]:
        raise TrustError("stream-audience", "一个交换流只有一个对象。", "A stream has one audience; this is another.")
    return Record(
        id=envelope.id,
        envelope=envelope.raw,
        keyid=member.key.keyid,
        kind=payload["kind"],
        federation=payload["audience"]["federation"],
        origin=payload["origin"],
        stream=payload["stream"],
        sequence=payload["sequence"],
        previous=payload["previous"],
        issued_at=read_time(payload["issued_at"]),
        schema=f"{payload['schema']['id']}.v{payload['schema']['version']}",
        schema_sha256=payload["schema"]["sha256"],
        subject=payload["subject"],
        revision=payload["revision"],
        supersedes=payload["supersedes"],
        policy=payload["policy"],
        content=content,
    )


def _check_audience(record: Record, member: Member, reader: Reader) -> None:
    ours = record.federation == reader.federation == member.federation
    readable = (
        record.origin == reader.node_id
        or record.stream == ALL
        or (record.stream == HUB and reader.is_hub)
        or record.stream == f"node:{reader.node_id}"
    )
    if not (ours and readable):
        raise TrustError("audience-mismatch", "条目的对象不包括本节点。", "The record is not meant for this node.")


def _place(record: Record, memory: Memory) -> Outcome:
    """Step 9: the record is new, and follows the one before it."""
    outcome = Outcome(Verdict.PLACED, "", record.id, record)
    there = memory.find_at(record.origin, record.stream, record.sequence)
    if there is not None:
        if there.id != record.id:
            return replace(outcome, verdict=Verdict.REFUSED, code="equivocation", conflicts_with=there.id)
        if not there.placeholder:
            return replace(outcome, verdict=Verdict.DUPLICATE)
        before = memory.find_at(record.origin, record.stream, record.sequence - 1)
    else:
        before = memory.find_head(record.origin, record.stream)
        have = before.sequence if before else 0
        if record.sequence != have + 1:
            return replace(outcome, verdict=Verdict.WAITING, code="sequence-gap", have=have)
    if record.previous != (before.id if before else ""):
        first = before.id if before and not before.placeholder else ""  # two ids at the place before: a contradiction
        return replace(outcome, verdict=Verdict.REFUSED, code="previous-mismatch", conflicts_with=first)
    return outcome


def _check_key(record: Record, memory: Memory) -> None:
    """Before the inner steps: what a revoked key signed is unproven, unless evidence shows that it is older."""
    member = memory.find_member(record.keyid)
    revoked_at = member.revoked_at if member else None
    if revoked_at is not None and not memory.is_older(record.id, revoked_at):
        raise TrustError(KEY_REVOKED, "签名密钥已作废，且无证据表明签于作废之前。", "Its key was revoked; unproven.")


def _check_grant(record: Record, memory: Memory) -> None:
    member = memory.find_member(record.keyid)
    if record.kind in HUB_KINDS and not (member and member.is_hub):
        raise TrustError("grant-missing", "只有汇总节点可以发布此类条目。", "Only the hub may publish this kind.")


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
    if not held and record.revision > 1:  # the one before may be known by the hub's refusal alone
        before = memory.find_record(record.supersedes)
        if before is not None and before.placeholder:
            return
    if record.revision != top + 1:
        raise TrustError("revision-skips", "修订号不连续。", "The revision does not follow the one held.", have=top)
    allowed = {identity for revision, identity in held if revision == top} or {""}
    if record.supersedes not in allowed:
        raise TrustError("supersedes-mismatch", "未指明所替代的条目。", "It names another record as superseded.")


def _accept_refusal(envelope: Envelope, memory: Memory, reader: Reader) -> Outcome:
    """Take a hub's refusal in place of a record: same steps; its place is confirmed by the `previous` that follows."""
    member = signing_member(envelope, memory.find_member)
    check_signature(envelope, member.key)
    payload = read_receipt_payload(envelope)
    if payload["issuer"] != member.id or not member.is_hub:
        raise TrustError("origin-mismatch", "只有汇总节点可以代替条目。", "Only the hub may stand in for a record.")
    if payload["federation"] != reader.federation or payload["verdict"] != "quarantined":
        raise TrustError("audience-mismatch", "回执不能代替条目。", "This receipt cannot stand in for a record.")
    named = payload["record"]
    refusal = Refusal(
        envelope.raw,
        payload["federation"],
        named["id"],
        named["origin"],
        named["stream"],
        named["sequence"],
        payload["code"],
        read_time(payload["issued_at"]),
    )
    outcome = Outcome(Verdict.PLACED, payload["code"], named["id"], refusal=refusal)
    if memory.find_record(refusal.record_id) or memory.find_at(refusal.origin, refusal.stream, refusal.sequence):
        return replace(outcome, verdict=Verdict.DUPLICATE)
    head = memory.find_head(refusal.origin, refusal.stream)
    have = head.sequence if head else 0
    if refusal.sequence != have + 1:
        return replace(outcome, verdict=Verdict.WAITING, code="sequence-gap", have=have)
    return outcome


def read_receipt_payload(envelope: Envelope) -> dict[str, Any]:
    """Read the payload of a receipt whose signature was checked; raise TrustError."""
    check_type(envelope, RECEIPT_TYPE)
    payload = read_object(envelope.payload)
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的回执版本，请升级本节点。", "Unknown version; update this node.")
    check_schema("receipt.v1", payload)
    return payload

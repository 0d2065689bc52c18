"""Signed statements about logs and streams: checkpoints, cosignatures, heads. Each is an envelope of its own type.

    checkpoint   a node says what its log (and the end of its audit trail) is: size and root. A log that was restored
                 from a backup and does not go on from what was signed before is another one, of a later `generation`
    cosignature  a witness says that this checkpoint goes on from the last one it had seen, and when it saw it
    heads        a node says which record it holds as the last of streams that have one audience

A heads statement names one audience, so it may be shown on, verbatim, to whoever reads that stream. Two audiences are
never mixed in one, and a stream between two nodes gets a statement for each of its origins. What a statement proves is
decided in `equivocation` and `witness`; here it is only built, verified and read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from securesystemslib.signer import Signer

from federation.documents import dump_document, format_time, read_object, read_time
from federation.envelope import (
    CHECKPOINT_TYPE,
    COSIGNATURE_TYPE,
    HEADS_TYPE,
    Envelope,
    check_signature,
    check_type,
    read_envelope,
    sign,
)
from federation.errors import TrustError
from federation.keys import Member
from federation.request import signing_member
from federation.validation import check_schema

VERSION = 1
MAX_HEADS = 500  # of one statement

FindMember = Callable[[str], Member | None]


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint of the log of `origin`."""

    id: str
    envelope: bytes
    origin: str
    federation: str
    size: int
    root: bytes
    audit_size: int
    audit_head: str
    list_version: int
    issued_at: datetime
    generation: int = 0  # of the log


@dataclass(frozen=True)
class Cosignature:
    """A verified cosignature: `witness` saw the log of `origin` with this size and root at `cosigned_at`."""

    id: str
    envelope: bytes
    witness: str
    federation: str
    checkpoint: str  # id
    origin: str
    size: int
    root: bytes
    cosigned_at: datetime


@dataclass(frozen=True)
class Head:
    """The last record of one origin's stream: its sequence and id."""

    origin: str
    sequence: int
    id: str


@dataclass(frozen=True)
class Heads:
    """A verified statement of `issuer` on the streams of one audience."""

    id: str
    envelope: bytes
    issuer: str
    federation: str
    stream: str
    heads: tuple[Head, ...]
    list_version: int
    issued_at: datetime


def build_checkpoint(
    signer: Signer,
    *,
    origin: str,
    federation: str,
    size: int,
    root: bytes,
    audit: tuple[int, str],
    list_version: int,
    at: datetime,
    generation: int = 0,
) -> bytes:
    """Return the signed checkpoint; `audit` is size and head of the audit trail."""
    payload = {
        "origin": origin,
        "federation": federation,
        "size": size,
        "root": root.hex(),
        "audit": {"size": audit[0], "head": audit[1]},
        "list_version": list_version,
        "issued_at": format_time(at),
    } | ({"generation": generation} if generation else {})
    return _build(signer, CHECKPOINT_TYPE, "checkpoint.v1", payload)


def open_checkpoint(data: bytes, find_member: FindMember) -> Checkpoint:
    """Verify and read a checkpoint; raise TrustError.

    An older key may have signed: what counts of such a checkpoint is what others cosigned in time.
    """
    envelope, payload = _open(data, CHECKPOINT_TYPE, "checkpoint.v1", "origin", find_member, older_keys=True)
    return Checkpoint(
        envelope.id,
        envelope.raw,
        payload["origin"],
        payload["federation"],
        payload["size"],
        bytes.fromhex(payload["root"]),
        payload["audit"]["size"],
        payload["audit"]["head"],
        payload["list_version"],
        read_time(payload["issued_at"]),
        payload.get("generation", 0),
    )


def build_cosignature(signer: Signer, witness: str, checkpoint: Checkpoint, at: datetime) -> bytes:
    """Return the cosignature of `witness` under a checkpoint that it has checked and kept."""
    payload = {
        "witness": witness,
        "federation": checkpoint.federation,
        "checkpoint": checkpoint.id,
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
        "cosigned_at": format_time(at),
    }
    return _build(signer, COSIGNATURE_TYPE, "cosignature.v1", payload)


def open_cosignature(data: bytes, find_member: FindMember, *, kept: bool = False) -> Cosignature:
    """Verify and read a cosignature; raise TrustError, also where the witness's key was revoked: it could back-date.

    One that is `kept` in a proof may be of a key that was retired later.
    """
    envelope, payload = _open(data, COSIGNATURE_TYPE, "cosignature.v1", "witness", find_member, older_keys=kept)
    if kept:
        check_in_time(envelope, find_member, read_time(payload["cosigned_at"]))
    return Cosignature(
        envelope.id,
        envelope.raw,
        payload["witness"],
        payload["federation"],
        payload["checkpoint"],
        payload["origin"],
        payload["size"],
        bytes.fromhex(payload["root"]),
        read_time(payload["cosigned_at"]),
    )


def build_heads(
    signer: Signer,
    *,
    issuer: str,
    federation: str,
    stream: str,
    heads: Sequence[Head],
    list_version: int,
    at: datetime,
) -> bytes:
    """Return the signed statement on up to 500 heads of the streams called `stream`."""
    payload = {
        "issuer": issuer,
        "federation": federation,
        "stream": stream,
        "heads": [vars(head) for head in heads],
        "list_version": list_version,
        "issued_at": format_time(at),
    }
    return _build(signer, HEADS_TYPE, "heads.v1", payload)


def open_heads(data: bytes, find_member: FindMember, *, kept: bool = False) -> Heads:
    """Verify and read a heads statement; raise TrustError. One that is `kept` may be of a key retired later."""
    envelope, payload = _open(data, HEADS_TYPE, "heads.v1", "issuer", find_member, older_keys=kept)
    if kept:
        check_in_time(envelope, find_member, read_time(payload["issued_at"]))
    heads = tuple(Head(head["origin"], head["sequence"], head["id"]) for head in payload["heads"])
    if len({head.origin for head in heads}) != len(heads):
        raise TrustError("heads-double", "同一流出现两次。", "A stream stands twice in one statement.")
    return Heads(
        envelope.id,
        envelope.raw,
        payload["issuer"],
        payload["federation"],
        payload["stream"],
        heads,
        payload["list_version"],
        read_time(payload["issued_at"]),
    )


def _build(signer: Signer, payload_type: str, schema: str, fields: dict[str, Any]) -> bytes:
    payload = {"version": VERSION, **fields}
    check_schema(schema, payload)
    return sign(dump_document(payload), payload_type, signer)


def _open(
    data: bytes, payload_type: str, schema: str, owner: str, find_member: FindMember, *, older_keys: bool = False
) -> tuple[Envelope, dict[str, Any]]:
    envelope = read_envelope(data)  # 1 size, 2 shape
    check_type(envelope, payload_type)  # 3
    member = signing_member(envelope, find_member, older_keys=older_keys)  # 4 key of an active member
    check_signature(envelope, member.key)  # 5
    payload = read_object(envelope.payload)  # 6 strict JSON, once
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的声明版本，请升级本节点。", "Unknown version; update this node.")
    check_schema(schema, payload)
    if (payload[owner], payload["federation"]) != (member.id, member.federation):  # 7 the issuer owns that key
        raise TrustError("origin-mismatch", "声明冒用他人名义。", "The statement is in another node's name.")
    return envelope, payload


def check_in_time(envelope: Envelope, find_member: FindMember, at: datetime) -> None:
    """Raise TrustError where the key was revoked, or retired before `at`."""
    member = signing_member(envelope, find_member, older_keys=True)
    if member.revoked_at is not None:
        raise TrustError("key-revoked", "该密钥已作废。", "This key was revoked.")
    if member.retired_at is not None and at > member.retired_at:
        raise TrustError("key-retired", "该密钥更换之后才签名。", "Signed after its key was replaced.")

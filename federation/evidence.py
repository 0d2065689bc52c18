"""What an exported document proves, off line: which key signed what, when, for whom. Nothing here asks anybody.

The anchor of trust is given by the caller: one public key, or a member list whose own signature is checked first and
whose hub key a person compares by its fingerprint.
"""

import base64
import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from federation.acceptance import (
    Record,
    check_content_schema,
    open_with_plaintext,
    read_receipt_payload,
    read_signed_record,
)
from federation.documents import read_object, sha256_hex
from federation.envelope import (
    RECEIPT_TYPE,
    RECORD_TYPE,
    SEALED_TYPE,
    TYPES,
    Envelope,
    check_signature,
    check_type,
    read_envelope,
)
from federation.equivocation import Contradiction, check_contradiction
from federation.errors import TrustError
from federation.keys import Member, fingerprint, read_public_key
from federation.request import signing_member
from federation.validation import check_schema
from federation.witness import Inclusion, Witnessed, check_witnessed

FindMember = Callable[[str], Member | None]
MAX_EVIDENCE_BYTES = 8_388_608
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----")


@dataclass(frozen=True)
class Evidence:
    """What holds of one document. `statement` is its signed head without the content."""

    kind: str  # record, sealed, receipt, request, answer
    id: str
    keyid: str
    fingerprint: str
    signer: str  # node id; "" where the caller gave a bare key
    content_sha256: str = ""
    content_schema: str = ""  # of a record: `valid`, `sealed` where its plaintext was not shown, or the code why not
    statement: dict[str, Any] = field(default_factory=dict)


def read_key_file(text: str) -> FindMember:
    """Read a public-key file (PEM, bare or inside JSON); the key then stands for nobody in particular."""
    match = _PEM.search(text.replace("\\n", "\n"))
    if match is None:
        raise TrustError("key-unreadable", "公钥文件无法读取。", "There is no public key in this file.")
    key = read_public_key(match[0] + "\n")
    return lambda keyid: Member("", "", key) if keyid == key.keyid else None


def read_member_list(data: bytes) -> tuple[FindMember, str]:
    """Read an exported member-list record; return its look-up and the fingerprint of the hub key that signed it.

    The list names its own signer, so its signature proves only that it is whole: compare the fingerprint.
    """
    envelope = read_envelope(data)
    check_type(envelope, RECORD_TYPE)
    payload = read_object(envelope.payload)
    content = payload.get("content")
    check_schema("member-list.v2", content)  # of v1 it allows all
    check_schema("record.v1", {**payload, "content": {}})
    federation = payload["audience"]["federation"]
    members: dict[str, Member] = {}
    for entry in content["members"] if isinstance(content, dict) else ():
        for named in entry["keys"]:
            key = read_public_key(named["pem"])
            members[key.keyid] = Member(entry["id"], federation, key, is_hub=entry["id"] == payload["origin"])
    record, hub = read_signed_record(data, members.get)
    if record.kind != "member-list":
        raise TrustError("type-mismatch", "这不是成员名录。", "This is not a member list.")
    return members.get, fingerprint(hub.key)


def read_hub_and_members(data: bytes) -> tuple[str, set[str]]:
    """Return the hub and the active members of an exported member list whose signature was checked."""
    payload = read_object(read_envelope(data).payload)
    named = payload["content"]["members"]
    return payload["origin"], {entry["id"] for entry in named if entry["status"] == "active"}


def check_document(data: bytes, find_member: FindMember, opened: bytes = b"") -> Evidence:
    """Verify an exported document; raise TrustError where it does not hold. A suspended member signed all the same.

    `opened` is the plaintext that a reader shows of a sealed record: it is the one that was committed to, or an error.
    """
    envelope = read_envelope(data)
    if envelope.payload_type not in TYPES:
        check_type(envelope, RECORD_TYPE)
    member = signing_member(envelope, lambda keyid: _as_active(find_member(keyid)), older_keys=True)
    check_signature(envelope, member.key)
    statement = read_object(envelope.payload)
    kind = envelope.payload_type.removeprefix("application/vnd.gonghui.").partition(".")[0]
    evidence = Evidence(kind, envelope.id, member.key.keyid, fingerprint(member.key), member.id)
    if envelope.payload_type in {RECORD_TYPE, SEALED_TYPE}:
        return _record_evidence(envelope, evidence, member, statement, opened)
    origin = statement.get("origin", "")
    if envelope.payload_type == RECEIPT_TYPE:
        origin = read_receipt_payload(envelope)["issuer"]
    else:
        check_schema(f"{kind}.v1", statement)
    _check_origin(origin, member)
    return replace(evidence, statement=statement)


def read_evidence(data: bytes) -> tuple[str, list[bytes], dict[str, Any]]:
    """Read an evidence file: its kind, the documents in it, and where the record is in the log; raise TrustError."""
    file = read_object(data, max_bytes=MAX_EVIDENCE_BYTES)
    check_schema("evidence.v1", file)
    try:
        documents = [base64.b64decode(text, validate=True) for text in file["documents"]]
    except ValueError as error:
        raise TrustError("envelope-shape", "base64 写法不对。", "This is not base64 in its one spelling.") from error
    return file["kind"], documents, file.get("inclusion", {})


def write_evidence(kind: str, documents: Sequence[bytes], inclusion: dict[str, Any] | None = None) -> bytes:
    """Return an evidence file that shows to a third person what these documents prove."""
    file: dict[str, Any] = {
        "version": 1,
        "kind": kind,
        "documents": [base64.b64encode(data).decode() for data in documents],
    }
    file |= {"inclusion": inclusion} if inclusion else {}
    check_schema("evidence.v1", file)
    return json.dumps(file, separators=(",", ":"), sort_keys=True).encode()


def check_evidence(
    data: bytes, find_member: FindMember, *, hub: str = "", members: Collection[str] = ()
) -> Contradiction | Witnessed:
    """Verify an evidence file off line; raise TrustError where it proves nothing.

    For a witnessed record the caller says who the hub and the members are; a bare key proves contradictions alone.
    """
    kind, documents, inclusion = read_evidence(data)
    if kind == "equivocation":
        return check_contradiction(documents[0], documents[1], _owner_of(documents[:2], find_member))
    if not inclusion:
        raise TrustError("proof-inclusion", "缺少收录证明。", "The file does not say where the record is in the log.")
    record, _ = read_signed_record(documents[0], find_member)
    path = tuple(bytes.fromhex(step) for step in inclusion["path"])
    where = Inclusion(inclusion["index"], bytes.fromhex(inclusion["salt"]), path)
    return check_witnessed(record.id, record.origin, where, documents[1:], find_member, hub=hub, members=members)


def _owner_of(documents: Sequence[bytes], find_member: FindMember) -> FindMember:
    """Let a bare key stand for whoever its documents name: signatures are checked all the same."""
    named: dict[str, tuple[str, str]] = {}
    for data in documents:
        envelope = read_envelope(data)
        said = read_object(envelope.payload)
        audience = said.get("audience")
        federation = said.get("federation", audience.get("federation") if isinstance(audience, dict) else "")
        named |= dict.fromkeys(envelope.keyids, (str(said.get("origin", said.get("issuer", ""))), str(federation)))

    def look_up(keyid: str) -> Member | None:
        member = find_member(keyid)
        if member is None or member.id:
            return member
        return replace(member, id=named[keyid][0], federation=named[keyid][1])

    return look_up


def _record_evidence(
    envelope: Envelope, evidence: Evidence, member: Member, statement: dict[str, Any], opened: bytes
) -> Evidence:
    owner = Member(member.id or str(statement.get("origin", "")), member.federation, member.key)
    record, _ = read_signed_record(envelope.raw, lambda keyid: owner if keyid == owner.key.keyid else None)
    if member.federation and record.federation != member.federation:
        raise TrustError("audience-mismatch", "名录与条目不属同一联合体。", "The list is of another federation.")
    head = {name: value for name, value in statement.items() if name not in {"content", "wraps", "ciphertext"}}
    if opened:
        record = open_with_plaintext(record, opened)
        head |= {name: value for name, value in read_object(opened).items() if name not in {"content", "salt"}}
    elif record.sealed is not None:
        return replace(evidence, statement=head, content_schema="sealed")
    content = (opened or envelope.payload).partition(b',"content":')[2][:-1]
    schema = _schema_verdict(record)
    return replace(evidence, statement=head, content_sha256=sha256_hex(content), content_schema=schema)


def _schema_verdict(record: Record) -> str:
    try:
        check_content_schema(record)
    except TrustError as error:
        return error.code
    return "valid"


def _check_origin(origin: str, member: Member) -> None:
    if member.id and origin != member.id:
        raise TrustError("origin-mismatch", "文件冒用他人名义。", "The document is in another node's name.")


def _as_active(member: Member | None) -> Member | None:
    return Member(member.id, member.federation, member.key, is_hub=member.is_hub) if member else None

"""Requests and answers: bound to each other, to one audience and to a time.

A request is thrown away after use; its payload type keeps it apart from records. The answer signs a manifest: the id
of the request, the ids of what travels beside it in order, the cursor. What travels beside it is stored envelopes,
verbatim. Whether a nonce was seen before is for the caller to know: it has the memory.

    HTTP body of a request:  [request, record, record, ...]     (see envelope.join_page)
    HTTP body of an answer:  [answer, record or receipt, ...]
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from securesystemslib.signer import Signer

from federation.documents import dump_document, format_time, read_object, read_time
from federation.envelope import (
    ANSWER_TYPE,
    REQUEST_TYPE,
    Envelope,
    check_signature,
    check_signed_by,
    check_type,
    join_page,
    read_envelope,
    sign,
    split_page,
)
from federation.errors import TrustError
from federation.keys import Member
from federation.validation import check_schema

VERSION = 1
MAX_REQUEST_BYTES = 65_536
MAX_PAGE_BYTES = 2_097_152

FindMember = Callable[[str], Member | None]


@dataclass(frozen=True)
class Request:
    """An opened request: everything in it was signed by `member`, for us, just now."""

    id: str
    member: Member
    op: str
    nonce: str
    issued_at: datetime
    body: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """An opened answer: signed by the node that was asked, to this very request."""

    enclosed: tuple[Envelope, ...]
    cursor: int
    more: bool
    body: dict[str, Any]
    issued_at: datetime


def build_request(
    signer: Signer,
    *,
    op: str,
    origin: str,
    audience: str,
    federation: str,
    body: dict[str, Any],
    at: datetime,
    nonce: str,
) -> bytes:
    """Return the signed envelope of a request from node `origin` to node `audience`; its id is `read_envelope().id`."""
    payload = {
        "version": VERSION,
        "op": op,
        "origin": origin,
        "audience": {"federation": federation, "node": audience},
        "nonce": nonce,
        "issued_at": format_time(at),
        "body": body,
    }
    check_schema("request.v1", payload)
    return sign(dump_document(payload), REQUEST_TYPE, signer)


def open_request(
    data: bytes, *, find_member: FindMember, audience: str, federation: str, now: datetime, window_seconds: int
) -> Request:
    """Verify and read a request in numbered steps, cheap before costly; raise TrustError with a stable code."""
    envelope = read_envelope(data, max_bytes=MAX_REQUEST_BYTES)  # 1 size and shape
    check_type(envelope, REQUEST_TYPE)  # 2 type
    member = signing_member(envelope, find_member)  # 3 key of an active member, neither retired nor revoked
    check_signature(envelope, member.key)  # 4 signature over the bytes
    payload = read_object(envelope.payload)  # 5 strict JSON, once
    _check_version(payload)
    check_schema("request.v1", payload)  # 6 shape
    if payload["origin"] != member.id:  # 7 the origin owns that key
        raise TrustError("origin-mismatch", "请求冒用他人名义。", "The request is in another node's name.")
    if payload["audience"] != {"federation": federation, "node": audience}:  # 8 meant for us
        raise TrustError("audience-mismatch", "请求的对象不是本节点。", "The request is meant for another node.")
    issued_at = read_time(payload["issued_at"])
    check_window(issued_at, now, window_seconds)  # 9 in time
    return Request(envelope.id, member, payload["op"], payload["nonce"], issued_at, payload["body"])


def build_answer(
    signer: Signer,
    *,
    op: str,
    origin: str,
    audience: str,
    federation: str,
    request_id: str,
    enclosed: Sequence[tuple[str, bytes]] = (),
    cursor: int = 0,
    more: bool = False,
    body: dict[str, Any] | None = None,
    at: datetime,
) -> bytes:
    """Return the whole page: the signed manifest and, beside it, the `enclosed` pairs (id, envelope bytes) verbatim."""
    payload = {
        "version": VERSION,
        "op": op,
        "origin": origin,
        "audience": {"federation": federation, "node": audience},
        "request": request_id,
        "issued_at": format_time(at),
        "enclosed": [identity for identity, _ in enclosed],
        "cursor": cursor,
        "more": more,
        "body": body or {},
    }
    manifest = sign(dump_document(payload), ANSWER_TYPE, signer)
    return join_page([manifest, *(data for _, data in enclosed)])


def open_answer(
    data: bytes, *, provider: Member, op: str, audience: str, request_id: str, max_bytes: int = MAX_PAGE_BYTES
) -> Answer:
    """Verify and read the page that `provider` answered to our request; raise TrustError with a stable code.

    The enclosed envelopes are those named in the manifest, in its order; each must still be accepted for itself.
    """
    if len(data) > max_bytes:
        raise TrustError("page-too-large", "应答过大。", f"The answer is larger than {max_bytes} bytes.")
    parts = split_page(data)
    envelope = read_envelope(parts[0])
    check_type(envelope, ANSWER_TYPE)
    check_signed_by(envelope, provider.keys)
    payload = read_object(envelope.payload)
    _check_version(payload)
    check_schema("answer.v1", payload)
    if payload["origin"] != provider.id:
        raise TrustError("origin-mismatch", "应答冒用他人名义。", "The answer is in another node's name.")
    if payload["audience"] != {"federation": provider.federation, "node": audience}:
        raise TrustError("audience-mismatch", "应答的对象不是本节点。", "The answer is meant for another node.")
    if payload["request"] != request_id or payload["op"] != op:
        raise TrustError("answer-mismatch", "应答与请求不符。", "The answer belongs to another request.")
    enclosed = tuple(read_envelope(part) for part in parts[1:])
    if [item.id for item in enclosed] != payload["enclosed"]:
        raise TrustError("enclosed-mismatch", "所附条目与清单不符。", "What is enclosed is not what was signed for.")
    return Answer(enclosed, payload["cursor"], payload["more"], payload["body"], read_time(payload["issued_at"]))


def signing_member(envelope: Envelope, find_member: FindMember, *, older_keys: bool = False) -> Member:
    """Return the first active member whose key claims to have signed; raise TrustError for none.

    With `older_keys` one that was retired or revoked may have signed, where no present one did: for records and
    evidence, of which the caller judges whether they are old enough. All else speaks for now, with a present key.
    """
    found = [member for keyid in envelope.keyids if (member := find_member(keyid)) is not None]
    found.sort(key=lambda member: (member.revoked_at is not None, member.retired))  # a key that stands comes first
    for member in found:
        if member.active:
            if not older_keys:
                _check_present(member)
            return member
    if found:
        raise TrustError("member-suspended", "该成员已停用。", "This member is suspended.")
    raise TrustError("key-unknown", "签名密钥不在成员名录中。", "The signing key is not in the member list.")


def _check_present(member: Member) -> None:
    """Raise TrustError where the member's key was rotated away or revoked: it may have signed, it says nothing now."""
    if member.revoked_at is not None:
        raise TrustError("key-revoked", "该密钥已作废。", "This key was revoked.")
    if member.retired:
        raise TrustError("key-retired", "该密钥已更换，不再接受。", "This key was replaced; it says nothing new.")


def check_window(issued_at: datetime, now: datetime, window_seconds: int) -> None:
    """Raise TrustError with our time and the skew unless `issued_at` lies within the window around `now`."""
    skew = round((issued_at - now).total_seconds())
    if abs(skew) > window_seconds:
        raise TrustError(
            "clock-skew",
            f"时钟相差 {skew} 秒，超过允许的 {window_seconds} 秒。请校准时间。",
            f"Clocks differ by {skew} s, more than the {window_seconds} s allowed. Set the clock.",
            server_time=format_time(now),
            skew_seconds=skew,
        )


def _check_version(payload: dict[str, Any]) -> None:
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的文件版本，请升级本节点。", "Unknown version; update this node.")

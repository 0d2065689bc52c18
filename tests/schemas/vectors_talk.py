"""The vectors of requests, answers, receipts and statements."""

from hashlib import sha256
from typing import Any

from federation.documents import read_time
from federation.envelope import ANSWER_TYPE, RECEIPT_TYPE, RECORD_TYPE, REQUEST_TYPE, join_page, read_envelope
from federation.keys import Member
from federation.log import hash_leaf
from federation.statements import Head, build_checkpoint, build_cosignature, build_heads, open_checkpoint
from tests.schemas.vectors import (
    CURVE,
    ED,
    FEDERATION,
    HUB,
    LATTICE,
    NOW,
    RETIRED,
    STRANGER,
    SUSPENDED,
    Actor,
    Writer,
    id_of,
    later,
    record,
)

NONCE = "AAAAAAAAAAAAAAAAAAAAAA"


def _receipt(about: bytes, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "issuer": HUB.id,
        "federation": FEDERATION,
        "record": {"id": id_of(about), "origin": ED.id, "stream": "all", "sequence": 1},
        "verdict": "accepted",
        "code": "",
        "issued_at": NOW,
    } | changes


def add_receipts(w: Writer) -> None:
    """Receipts for an author, and the hub's refusal in the place of a record."""
    about = w.signed(record(ED), RECORD_TYPE, ED)

    def add(
        name: str, what: str, payload: dict[str, Any], code: str, by: Actor = HUB, kind: str = RECEIPT_TYPE
    ) -> None:
        ok = {"record": id_of(about), "says": payload["verdict"], "reason": payload["code"]} if not code else {}
        w.add(name, what, "receipt", w.signed(payload, kind, by), ED, **ok, code=code)

    refused = _receipt(about, verdict="quarantined", code="cell-too-small")
    add("valid-receipt", "The hub has accepted a record.", _receipt(about), "")
    add("valid-receipt-quarantined", "The hub keeps it in quarantine, with the reason.", refused, "")
    add("invalid-receipt-of-another", "A receipt that another member signed.", _receipt(about), "key-not-signer", CURVE)
    add(
        "invalid-receipt-in-anothers-name",
        "The hub signs in another's name.",
        _receipt(about, issuer=CURVE.id),
        "origin-mismatch",
    )
    add("invalid-receipt-version", "Version 2 of a receipt.", _receipt(about, version=2), "version-unknown")
    add(
        "invalid-receipt-as-record", "A receipt signed as a record.", _receipt(about), "type-mismatch", kind=RECORD_TYPE
    )
    stand = w.signed(refused, RECEIPT_TYPE, HUB)
    w.add(
        "valid-refusal",
        "The hub's refusal takes the place of the record it does not forward.",
        "record",
        stand,
        CURVE,
        verdict="placed",
        code="cell-too-small",
        id=id_of(about),
    )
    w.add(
        "valid-refusal-mended",
        "The record itself comes later and takes that place.",
        "record",
        about,
        CURVE,
        ["valid-refusal"],
        verdict="accepted",
        code="",
    )
    after = record(ED, sequence=2, previous=id_of(about), subject="notice:2")
    w.add(
        "valid-record-after-refusal",
        "The stream goes on after a refusal; `previous` confirms the id.",
        "record",
        w.signed(after, RECORD_TYPE, ED),
        CURVE,
        ["valid-refusal"],
        verdict="accepted",
        code="",
    )
    w.add(
        "invalid-refusal-of-a-college",
        "Only the hub may stand in for a record.",
        "record",
        w.signed({**refused, "issuer": LATTICE.id}, RECEIPT_TYPE, LATTICE),
        CURVE,
        verdict="refused",
        code="origin-mismatch",
    )
    w.add(
        "invalid-refusal-that-accepts",
        "A receipt of acceptance stands in for nothing.",
        "record",
        w.signed(_receipt(about), RECEIPT_TYPE, HUB),
        CURVE,
        verdict="refused",
        code="audience-mismatch",
    )


def _request(by: Actor, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "op": "pull",
        "origin": by.id,
        "audience": {"federation": FEDERATION, "node": HUB.id},
        "nonce": NONCE,
        "issued_at": NOW,
        "body": {"cursor": 0},
    } | changes


def add_requests(w: Writer) -> None:
    """Requests to the hub, and its answers."""

    def add(name: str, what: str, payload: dict[str, Any], code: str, by: Actor = ED, kind: str = REQUEST_TYPE) -> None:
        w.add(name, what, "request", w.signed(payload, kind, by), HUB, code=code)

    for actor in (ED, LATTICE, CURVE):
        add(f"valid-request-{actor.name}", f"A pull, signed with {actor.algorithm}.", _request(actor), "", actor)
    add("valid-request-late", "Issued at the edge of the time window.", _request(ED, issued_at=later(-300)), "")
    add(
        "invalid-request-too-late",
        "Issued a second before the window.",
        _request(ED, issued_at=later(-301)),
        "clock-skew",
    )
    add("invalid-request-from-the-future", "Issued after the window.", _request(ED, issued_at=later(301)), "clock-skew")
    other = {"federation": FEDERATION, "node": CURVE.id}
    add("invalid-request-to-another", "Meant for another node.", _request(ED, audience=other), "audience-mismatch")
    elsewhere = {"federation": "f-" + "other".ljust(26, "a"), "node": HUB.id}
    add(
        "invalid-request-other-federation",
        "Meant for another federation.",
        _request(ED, audience=elsewhere),
        "audience-mismatch",
    )
    add("invalid-request-in-anothers-name", "In another member's name.", _request(CURVE), "origin-mismatch")
    add("invalid-request-as-record", "A request signed as a record.", _request(ED), "type-mismatch", kind=RECORD_TYPE)
    add("invalid-request-suspended", "A suspended member asks.", _request(SUSPENDED), "member-suspended", SUSPENDED)
    add(
        "invalid-request-retired-key",
        "A key that was rotated away asks for nothing new.",
        _request(RETIRED),
        "key-retired",
        RETIRED,
    )
    add("invalid-request-stranger", "Nobody's key.", _request(STRANGER), "key-unknown", STRANGER)
    add("invalid-request-nonce-short", "A nonce of too few characters.", _request(ED, nonce="AAAA"), "schema-invalid")
    add("invalid-request-version", "Version 2 of a request.", _request(ED, version=2), "version-unknown")
    asked = w.signed(_request(ED), REQUEST_TYPE, ED)
    first = w.signed(record(CURVE), RECORD_TYPE, CURVE)
    second = w.signed(record(LATTICE), RECORD_TYPE, LATTICE)
    good = {
        "version": 1,
        "op": "pull",
        "origin": HUB.id,
        "audience": {"federation": FEDERATION, "node": ED.id},
        "request": id_of(asked),
        "issued_at": NOW,
        "enclosed": [id_of(first), id_of(second)],
        "cursor": 7,
        "more": False,
        "body": {},
    }

    def answer(
        name: str,
        what: str,
        changes: dict[str, Any],
        code: str,
        beside: tuple[bytes, ...] = (first, second),
        by: Actor = HUB,
    ) -> None:
        page = join_page([w.signed(good | changes, ANSWER_TYPE, by), *beside])
        w.add(name, what, "answer", page, ED, request=id_of(asked), code=code)

    answer("valid-answer", "A page: the signed manifest, then two stored records, verbatim.", {}, "")
    answer(
        "invalid-answer-to-another-request", "The answer to another request.", {"request": "ab" * 32}, "answer-mismatch"
    )
    answer("invalid-answer-other-op", "The answer to another operation.", {"op": "ping"}, "answer-mismatch")
    answer("invalid-answer-record-withheld", "One record was taken off the page.", {}, "enclosed-mismatch", (first,))
    answer(
        "invalid-answer-records-reordered",
        "The records stand in another order.",
        {},
        "enclosed-mismatch",
        (second, first),
    )
    answer(
        "invalid-answer-to-another-node",
        "The answer to another node.",
        {"audience": {"federation": FEDERATION, "node": CURVE.id}},
        "audience-mismatch",
    )
    answer("invalid-answer-of-another", "Another member answers in the hub's place.", {}, "key-not-signer", by=CURVE)


def add_statements(w: Writer) -> None:
    """Heads, checkpoints, cosignatures."""
    about = w.signed(record(ED), RECORD_TYPE, ED)
    at = read_time(NOW)
    heads = build_heads(
        ED.signer,
        issuer=ED.id,
        federation=FEDERATION,
        stream="all",
        heads=[Head(ED.id, 1, id_of(about))],
        list_version=1,
        at=at,
    )
    w.add("valid-heads", "A member says which record is the last of its stream to all.", "heads", heads, HUB, code="")
    twice = read_envelope(heads).payload.replace(
        b'"heads":[', b'"heads":[{"id":"' + b"ab" * 32 + b'","origin":"' + ED.id.encode() + b'","sequence":2},'
    )
    w.add(
        "invalid-heads-stream-twice",
        "One stream stands twice in one statement.",
        "heads",
        w.signed(twice, read_envelope(heads).payload_type, ED),
        HUB,
        code="heads-double",
    )
    w.add(
        "invalid-heads-of-another",
        "In another member's name.",
        "heads",
        w.signed(read_envelope(heads).payload, read_envelope(heads).payload_type, CURVE),
        HUB,
        code="origin-mismatch",
    )
    root = sha256(b"\x01" + hash_leaf(b"1") + hash_leaf(b"2")).digest()
    checkpoint = build_checkpoint(
        ED.signer, origin=ED.id, federation=FEDERATION, size=2, root=root, audit=(0, "00" * 32), list_version=1, at=at
    )
    w.add(
        "valid-checkpoint",
        'The log of two leaves, whose entries are the bytes "1" and "2".',
        "checkpoint",
        checkpoint,
        HUB,
        code="",
    )
    w.add(
        "invalid-checkpoint-as-heads",
        "A checkpoint where heads are expected.",
        "heads",
        checkpoint,
        HUB,
        code="type-mismatch",
    )
    opened = open_checkpoint(checkpoint, lambda _: Member(ED.id, FEDERATION, ED.signer.public_key))
    w.add(
        "valid-cosignature",
        "The hub has seen that this checkpoint goes on from the last.",
        "cosignature",
        build_cosignature(HUB.signer, HUB.id, opened, at),
        ED,
        code="",
    )

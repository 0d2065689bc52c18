"""The vectors of parcels, bundles and enrolment requests."""

import json
from collections.abc import Sequence
from typing import Any

from federation.documents import dump_document, read_time
from federation.enrolment import ENROLMENT_TYPE, Applicant, write_request
from federation.envelope import PARCEL_TYPE, RECORD_TYPE, REQUEST_TYPE, add_signature, join_page, read_envelope
from federation.keyfile import build_key_file
from federation.keys import public_pem, read_sealing_key, sealing_public
from federation.parcel import Range, Says, build_parcel, read_parcel
from tests.schemas.vectors import CURVE, ED, FEDERATION, HUB, NOW, STRANGER, SUSPENDED, Actor, Writer, id_of, record

FILE = ("1.root.json", b'{"this":"proves itself"}')


def _parcel(enclosed: Sequence[bytes], **changes: Any) -> bytes:
    at, says = read_time(NOW), Says(0, 2, 5, 1, {"all": 4}, (Range(CURVE.id, "all", 3, 7),), {"timestamp": 9})
    place: dict[str, Any] = {"origin": ED.id, "federation": FEDERATION, "audience": HUB.id, "number": 2}
    values = {**place, "files": [FILE], **changes}
    return build_parcel(ED.signer, at=at, says=says, enclosed=enclosed, **values)


def _spelt(w: Writer, parcel: bytes, by: Actor = ED, kind: str = PARCEL_TYPE, **changes: Any) -> bytes:
    """Return a parcel whose manifest says something else than what `build_parcel` would say, rightly signed."""
    raw = read_parcel(parcel)
    payload = {**json.loads(raw.manifest.payload), **changes}
    return parcel.replace(raw.manifest.raw, w.signed(dump_document(payload), kind, by), 1)


def add_parcels(w: Writer) -> None:
    """Parcels one by one, as they lie in a mailbox, and bundles, as they lie on a stick."""
    first = w.signed(record(ED), RECORD_TYPE, ED)
    second = w.signed(record(ED, sequence=2, previous=id_of(first), subject="notice:2"), RECORD_TYPE, ED)
    good = _parcel([first, second])
    file_line = good[good.rindex(b',\n{"data"') + 2 : -1]

    def add(name: str, what: str, given: bytes, code: str, kind: str = "parcel") -> None:
        w.add(name, what, kind, given, HUB, code=code)

    add("valid-parcel", "Two records and a file of the member list, for the hub.", good, "")
    add("valid-parcel-for-everybody", "One for whoever may read it.", _parcel([first], audience="*"), "")
    add("valid-parcel-empty", "Nothing enclosed: the manifest says what its origin holds.", _parcel([]), "")
    add("invalid-parcel-record-withheld", "One record was taken out.", good.replace(second + b",\n", b""),
        "enclosed-mismatch")  # fmt: skip
    add("invalid-parcel-records-reordered", "The records stand in another order.",
        good.replace(first + b",\n" + second, second + b",\n" + first), "enclosed-mismatch")  # fmt: skip
    add("invalid-parcel-file-exchanged", "A file is not the one that was signed for.",
        _with_file(good, file_line, b"eyJ0aGlzIjoibGllcyJ9"), "enclosed-mismatch")  # fmt: skip
    add("invalid-parcel-file-first", "A file stands before an envelope.",
        join_page([read_parcel(good).manifest.raw, file_line, first]), "parcel-shape")  # fmt: skip
    add("invalid-parcel-path", "A name that would lead out of a folder.",
        good.replace(b'"path":"1.root.json"', b'"path":"../root.json"'), "envelope-shape")  # fmt: skip
    add("invalid-parcel-base64", "Another spelling of the same base64.", _with_file(good, file_line, b"eyJhIjoxfR=="),
        "parcel-shape")  # fmt: skip
    add("invalid-parcel-of-another", "A parcel in another member's name.", _spelt(w, good, CURVE), "origin-mismatch")
    add("invalid-parcel-suspended", "Its origin is suspended.",
        _spelt(w, good, SUSPENDED, origin=SUSPENDED.id), "member-suspended")  # fmt: skip
    add("invalid-parcel-stranger", "Its origin is in no list.",
        _spelt(w, good, STRANGER, origin=STRANGER.id), "key-unknown")  # fmt: skip
    elsewhere = {"federation": "f-" + "elsewhere".ljust(26, "a"), "node": HUB.id}
    add("invalid-parcel-elsewhere", "Of another federation.", _spelt(w, good, audience=elsewhere), "audience-mismatch")
    add("invalid-parcel-version", "Version 2 of a parcel.", _spelt(w, good, version=2), "version-unknown")
    add("invalid-parcel-number-zero", "Parcels are numbered from 1.", _spelt(w, good, number=0), "schema-invalid")
    add("invalid-parcel-as-request", "Signed as a request.", _spelt(w, good, kind=REQUEST_TYPE), "type-mismatch")
    add("invalid-parcel-altered", "A byte of the manifest was changed after it was signed.",
        good.replace(b'{"payload":"eyJ', b'{"payload":"eyK', 1), "signature-invalid")  # fmt: skip
    stick = good + b"\n" + _parcel([], number=3) + b"\n"
    add("valid-bundle", "Two parcels, one after another: a file for the stick.", stick, "", "bundle")
    add("invalid-bundle-cut", "Its end is missing.", stick[:-40], "bundle-truncated", "bundle")
    add("invalid-bundle-line-ends", "Sent as text: line ends were changed.", stick.replace(b"\n", b"\r\n"),
        "bundle-shape", "bundle")  # fmt: skip
    add("invalid-bundle-other-file", "Some other file.", b"%PDF-1.7\n", "bundle-shape", "bundle")


def _with_file(parcel: bytes, line: bytes, data: bytes) -> bytes:
    return parcel.replace(line, b'{"data":"%b","path":"1.root.json"}' % data)


def _asks(by: Actor, **changes: Any) -> dict[str, Any]:
    sealing = sealing_public(read_sealing_key(by.sealing_pem))
    applicant = Applicant(by.id, "示例学院", "4100000001", "", "relay", sealing)
    key = by.signer.public_key
    return {
        "version": 1,
        "kind": "join",
        "federation": FEDERATION,
        "issued_at": NOW,
        **vars(applicant),
        "keyid": key.keyid,
        "public": public_pem(key),
    } | changes


def add_enrolments(w: Writer) -> None:
    """Request files of nodes to the officers: what counts is the envelope in them."""

    def file(payload: dict[str, Any], by: Actor, shown: Actor | None = None, kind: str = ENROLMENT_TYPE) -> bytes:
        return _around(w.signed(payload, kind, by), shown or by)

    def add(name: str, what: str, given: bytes, code: str, **expected: Any) -> None:
        w.add(name, what, "enrolment", given, HUB, **expected, code=code)

    def accepted(kind: str, by: Actor, *others: Actor) -> dict[str, Any]:
        signed = sorted(actor.signer.public_key.keyid for actor in (by, *others))
        return {"asks": kind, "keyid": by.signer.public_key.keyid, "signed_by": signed}

    add("valid-enrolment-join", "A newcomer asks, signed by the key that it asks for.",
        file(_asks(STRANGER), STRANGER), "", **accepted("join", STRANGER))  # fmt: skip
    rotate = w.signed(_asks(STRANGER, kind="rotate", id=ED.id), ENROLMENT_TYPE, STRANGER)
    add("valid-enrolment-rotate", "A member asks for its next key; the present one has signed too.",
        _around(add_signature(rotate, ED.signer), STRANGER), "", **accepted("rotate", STRANGER, ED))  # fmt: skip
    add("valid-enrolment-replace", "A key in place of a lost one: the new key alone can sign.",
        file(_asks(STRANGER, kind="replace", id=ED.id), STRANGER), "", **accepted("replace", STRANGER))  # fmt: skip
    old = build_key_file(ED.signer, node_id=ED.id, name="示例学院", code="", url="")
    add("valid-enrolment-of-earlier-release", "A public-key file is read as a request to join.", old, "",
        **accepted("join", ED))  # fmt: skip
    add("invalid-enrolment-of-another", "The file shows one key and another has signed.",
        file(_asks(STRANGER), ED, STRANGER), "key-not-signer")  # fmt: skip
    add("invalid-enrolment-two-keys", "The signed request names another key than the file shows.",
        file(_asks(STRANGER), ED), "key-file-mismatch")  # fmt: skip
    add("invalid-enrolment-as-record", "Signed as a record.",
        file(_asks(STRANGER), STRANGER, kind=RECORD_TYPE), "request-unreadable")  # fmt: skip
    add("invalid-enrolment-kind", "A kind that does not exist.",
        file(_asks(STRANGER, kind="steal"), STRANGER), "schema-invalid")  # fmt: skip
    add("invalid-enrolment-of-nothing", "A file without an envelope.", b"{}\n", "request-unreadable")
    altered = json.loads(file(_asks(STRANGER), STRANGER))
    altered["envelope"] = altered["envelope"].replace('{"payload":"eyJ', '{"payload":"eyK', 1)
    add("invalid-enrolment-altered", "A byte was changed after it was signed.",
        json.dumps(altered, ensure_ascii=False, indent=2).encode() + b"\n", "signature-invalid")  # fmt: skip


def _around(envelope: bytes, shown: Actor) -> bytes:
    payload = json.loads(read_envelope(envelope).payload)
    return write_request(payload["name"], payload["id"], shown.signer.public_key, envelope)

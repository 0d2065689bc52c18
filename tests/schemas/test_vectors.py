"""The test vectors are fresh, and the program says of each what its file says. A second implementer needs no more."""

import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from tuf.api.metadata import Metadata

from federation.acceptance import (
    Held,
    Outcome,
    Reader,
    Verdict,
    accept_inner,
    accept_outer,
    open_receipt,
    open_record,
)
from federation.documents import read_time
from federation.enrolment import read_request
from federation.envelope import read_envelope
from federation.errors import InputRefused, TrustError
from federation.grants import Grants
from federation.keys import Member, read_public_key, read_sealing_key
from federation.listfile import read_list_file
from federation.membership import MemberList, refresh
from federation.metadata import ROLES
from federation.parcel import check_parcel, read_bundle, read_parcel
from federation.request import open_answer, open_request
from federation.sealing import Keyring, key_id
from federation.statements import open_checkpoint, open_cosignature, open_heads
from tests.schemas.vectors import FOLDER, Writer, write_all

KEYS: dict[str, Any] = json.loads((FOLDER / "keys.json").read_bytes())
VECTORS: dict[str, dict[str, Any]] = {
    path.stem: json.loads(path.read_bytes()) for path in sorted(FOLDER.glob("*.json")) if path.stem != "keys"
}
FEDERATION = KEYS["federation"]
NOW = read_time(KEYS["now"])


def find_member(keyid: str) -> Member | None:
    for told in KEYS["members"].values():
        if told["keyid"] == keyid and told["status"] != "stranger":
            return Member(
                told["id"],
                FEDERATION,
                read_public_key(told["public"]),
                active=told["status"] == "active",
                is_hub=told["hub"],
                sealing_key=told["sealing_key"],
                retired=told["key_status"] == "retired",
            )
    return None


def member(name: str) -> Member:
    found = find_member(KEYS["members"][name]["keyid"])
    assert found is not None
    return found


@dataclass
class Shelf:
    """What a reader of the vectors holds: the plainest memory that acceptance can work with."""

    places: dict[tuple[str, str, int], Held] = field(default_factory=dict)
    revisions: dict[tuple[str, str, str], list[tuple[int, str]]] = field(default_factory=dict)

    def find_member(self, keyid: str) -> Member | None:
        return find_member(keyid)

    def find_record(self, record_id: str) -> Held | None:
        return next((held for held in self.places.values() if held.id == record_id), None)

    def find_at(self, origin: str, stream: str, sequence: int) -> Held | None:
        return self.places.get((origin, stream, sequence))

    def find_head(self, origin: str, stream: str) -> Held | None:
        mine = [held for place, held in self.places.items() if place[:2] == (origin, stream)]
        return max(mine, key=lambda held: held.sequence, default=None)

    def find_revisions(self, origin: str, stream: str, subject: str) -> list[tuple[int, str]]:
        return self.revisions.get((origin, stream, subject), [])

    def is_older(self, record_id: str, at: datetime) -> bool:  # noqa: ARG002  the protocol names them
        return False

    def find_grants(self) -> Grants | None:
        return None

    def find_schema(self, name: str) -> bytes:  # noqa: ARG002  the protocol names it
        return b""

    def take(self, data: bytes, reader: str) -> tuple[Outcome, bytes]:
        """Take one record as a node does: place, then content; return what became of it, and what was unsealed."""
        told = KEYS["members"][reader]
        outcome = accept_outer(data, self, Reader(told["id"], FEDERATION, told["hub"]))
        if outcome.verdict != Verdict.PLACED:
            return outcome, b""
        if outcome.refusal is not None:
            refused = outcome.refusal
            place = (refused.origin, refused.stream, refused.sequence)
            self.places[place] = Held(refused.record_id, refused.sequence, placeholder=True)
            return outcome, b""
        record = outcome.record
        assert record is not None
        key = read_sealing_key(told["test_private_sealing_key"].encode())
        keyring = Keyring({key_id(told["sealing_key"]): key})
        self.places[record.origin, record.stream, record.sequence] = Held(record.id, record.sequence)
        inner = accept_inner(record, self, keyring)
        if inner.verdict == Verdict.ACCEPTED:
            opened = open_record(record, keyring)
            subject = (record.origin, record.stream, opened.subject)
            self.revisions.setdefault(subject, []).append((opened.revision, record.id))
            return inner, opened.opened
        return inner, b""


def _code_of(vector: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Open a document that is no record; return its code, "" where it holds, and what more is expected of it."""
    data, reader, expected = vector["given"].encode(), KEYS["members"][vector["reader"]], vector["expected"]
    try:
        if vector["as"] == "request":
            window = KEYS["window_seconds"]
            open_request(
                data,
                find_member=find_member,
                audience=reader["id"],
                federation=FEDERATION,
                now=NOW,
                window_seconds=window,
            )
        elif vector["as"] == "answer":
            open_answer(data, provider=member("hub"), op="pull", audience=reader["id"], request_id=expected["request"])
        elif vector["as"] == "receipt":
            receipt = open_receipt(read_envelope(data), member("hub"))
            return "", {"record": receipt.record_id, "says": receipt.verdict, "reason": receipt.code}
        elif vector["as"] == "parcel":
            check_parcel(read_parcel(data), find_member, FEDERATION)
        elif vector["as"] == "bundle":
            for raw in read_bundle(io.BytesIO(data)):
                check_parcel(raw, find_member, FEDERATION)
        elif vector["as"] == "enrolment":
            asked = read_request(data)
            return "", {
                "asks": asked.kind,
                "keyid": asked.key.keyid,
                "signed_by": sorted(asked.envelope.keyids),
            }
        elif vector["as"] == "list":
            _read_list(vector)
        else:
            openers: dict[str, Any] = {
                "heads": open_heads,
                "checkpoint": open_checkpoint,
                "cosignature": open_cosignature,
            }
            openers[vector["as"]](data, find_member)
    except (TrustError, InputRefused) as error:
        return error.code, {}
    return "", {}


def _read_list(vector: dict[str, Any]) -> MemberList:
    """Read what is served as one who took the lists before, from the pinned root."""
    root = read_list_file(VECTORS["valid-list"]["given"].encode())["1.root.json"]
    held: dict[str, bytes] = {}
    for given in (*(VECTORS[name]["given"] for name in vector["held"]), vector["given"]):
        served = read_list_file(given.encode())
        found = refresh(root, held, served.get, federation=FEDERATION, now=NOW)
        held = dict(found.files)
    return found


@pytest.mark.parametrize("name", VECTORS)
def test_the_program_says_of_a_vector_what_its_file_says(name: str) -> None:
    vector = VECTORS[name]
    expected = vector["expected"]
    assert name.startswith("valid-") == (not expected["code"] or name in {"valid-refusal", "valid-sealed-carried"})
    if vector["as"] != "record":
        code, more = _code_of(vector)
        assert (code, more) == (expected["code"], {k: expected[k] for k in more})
        return
    shelf = Shelf()
    for before in vector["held"]:
        shelf.take(VECTORS[before]["given"].encode(), vector["reader"])
    outcome, opened = shelf.take(vector["given"].encode(), vector["reader"])
    assert (outcome.verdict, outcome.code) == (expected["verdict"], expected["code"])
    assert outcome.record_id == expected.get("id", outcome.record_id)
    assert opened.decode() == expected.get("plaintext", "")


def test_the_vectors_are_fresh_and_stay_as_they_are() -> None:
    texts = write_all(Writer.from_files())
    assert set(texts) == {path.name for path in FOLDER.glob("*.json")}
    for name, text in texts.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name}; run: python -m tests.schemas.vectors"


def test_every_code_of_the_outer_and_inner_steps_has_its_vector() -> None:
    said = {vector["expected"]["code"] for vector in VECTORS.values()}
    said |= {"envelope-too-large", "schema-digest"}  # a megabyte in the repository teaches nobody anything
    assert {
        "envelope-shape", "envelope-too-large", "type-unknown", "type-mismatch", "key-unknown", "member-suspended",
        "signature-invalid", "version-unknown", "schema-invalid", "origin-mismatch", "stream-audience",
        "audience-mismatch", "sequence-gap", "previous-mismatch", "equivocation", "sealed-to-others", "sealed-broken",
        "schema-kind", "schema-unknown", "schema-digest", "kind-unknown", "grant-missing", "revision-skips",
        "supersedes-mismatch", "clock-skew", "key-retired", "key-not-signer", "answer-mismatch", "enclosed-mismatch",
        "parcel-shape", "bundle-shape", "bundle-truncated", "request-unreadable", "key-file-mismatch",
        "list-rolled-back", "list-expired", "list-mixed", "list-unreachable", "list-threshold", "root-threshold",
        "list-key-twice", "list-shape", "list-federation",
    } <= said  # fmt: skip


def _envelopes(kind: str, given: str) -> list[dict[str, Any]]:
    """Return every envelope of a document, taken out with a plain JSON parser; the list has none."""
    found: list[Any] = []
    while given.strip() and kind != "list":
        value, end = json.JSONDecoder().raw_decode(given)
        found += value if isinstance(value, list) else [value]
        given = given[end:].lstrip()
    if kind == "enrolment":
        found = [json.loads(value["envelope"]) for value in found]
    return [value for value in found if "payload" in value]


@pytest.mark.parametrize("name", [name for name in VECTORS if VECTORS[name]["as"] == "list" and name[:6] == "valid-"])
def test_lists_hold_for_python_tuf_alone(name: str) -> None:
    """Thresholds counted and digests compared by the library, without any code of ours; and what the list then says."""
    files = {path: text.encode() for path, text in json.loads(VECTORS[name]["given"]).items()}
    by_name = {path.rpartition(".json")[0]: path for path in files if "/" not in path}
    newest = {role: max(path for stem, path in by_name.items() if stem.endswith(role)) for role in ROLES[:4]}
    read: dict[str, Metadata[Any]] = {role: Metadata.from_bytes(files[path]) for role, path in newest.items()}
    for role in ROLES[:4]:
        read["root"].signed.verify_delegate(role, read[role].signed_bytes, read[role].signatures)
    for path, target in read["targets"].signed.targets.items():
        target.verify_length_and_hashes(files[f"targets/{target.hashes['sha256']}.{path}"])
    found = _read_list(VECTORS[name])
    told = {found.status_of(member["id"], NOW) for member in KEYS["members"].values()}
    assert ("suspended" in told) == (name in {"valid-list-suspended", "valid-list-hold", "valid-list-root-renewed"})


@pytest.mark.parametrize("name", [name for name in VECTORS if name.startswith("valid-")])
def test_signatures_hold_without_any_code_of_ours(name: str) -> None:
    """DSSE by hand, `cryptography` alone: the algorithm is looked up by the key's id, in the list."""
    keys = {told["keyid"]: told for told in KEYS["members"].values()}
    for text in _envelopes(VECTORS[name]["as"], VECTORS[name]["given"]):
        payload, kind = base64.b64decode(text["payload"], validate=True), text["payloadType"].encode()
        pae = b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
        for signature in text["signatures"]:
            told = keys[signature["keyid"]]
            public: Any = serialization.load_pem_public_key(told["public"].encode())
            sig = base64.b64decode(signature["sig"], validate=True)
            if isinstance(public, EllipticCurvePublicKey):
                public.verify(sig, pae, ECDSA(hashes.SHA256()))
            elif told["algorithm"].startswith("ml-dsa"):
                public.verify(sig, b"tuf\x01" + hashlib.sha512(pae).digest())  # TAP 21, pure ML-DSA over this
            else:
                public.verify(sig, pae)
        expected = VECTORS[name]["expected"]
        if "id" in expected and VECTORS[name]["as"] == "record" and "refusal" not in name:
            assert hashlib.sha256(pae).hexdigest() == expected["id"]

"""Test vectors of the protocol: `python -m tests.schemas.vectors` writes them, a test writes them again and compares.

Each file of `schemas/examples/vectors` is one document and what a reader that follows docs/protocol.md says of it:

    {"what", "as": record|refusal|request|answer|receipt|heads|checkpoint|cosignature|parcel|bundle|enrolment|list,
     "reader": name in keys.json,
     "held": [vectors the reader took before, in order], "given": the bytes as text, "expected": {...}}

`keys.json` names the federation, the time and everybody's keys, **private halves included: they are for tests alone**.
ECDSA, ML-DSA and HPKE are not deterministic: where a signature or a sealed record that was written before still holds,
it is kept, so that writing again changes nothing.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from securesystemslib.signer import CryptoSigner

from federation.documents import dump_document, format_time, read_time
from federation.envelope import (
    SEALED_TYPE,
    check_signature,
    read_envelope,
    sign,
)
from federation.errors import TrustError
from federation.keys import fingerprint, public_pem, read_sealing_key, read_signer, sealing_public
from federation.sealing import Keyring, key_id, seal, unseal
from schemas import load_schema_bytes

FOLDER = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "vectors"
FEDERATION = "f-" + "federation".ljust(26, "a")
NOW = "2026-10-10T08:00:00Z"
WINDOW_SECONDS = 300
WARNING = "TEST KEYS. Everybody has them. Never use one of them for anything but these vectors."
_ENVELOPE = re.compile(rb'\{"payload":"[^"]*","payloadType":"[^"]*","signatures":\[\{.*?\}\]\}')


@dataclass(frozen=True)
class Actor:
    """Who signs in the vectors."""

    name: str
    algorithm: str
    status: str = "active"  # active, suspended; stranger: in no list
    key: str = "active"  # active, retired

    @property
    def id(self) -> str:
        return f"n-{self.name.ljust(26, 'a')}"

    @cached_property
    def seed(self) -> bytes:
        return hashlib.sha256(f"gonghui test vector {self.name}".encode()).digest()

    @cached_property
    def pem(self) -> bytes:
        makers: dict[str, Callable[[], Any]] = {
            "ed25519": lambda: Ed25519PrivateKey.from_private_bytes(self.seed),
            "ml-dsa-65/1": lambda: MLDSA65PrivateKey.from_seed_bytes(self.seed),
            "ecdsa-sha2-nistp256": lambda: derive_private_key(int.from_bytes(self.seed) >> 1, SECP256R1()),
        }
        made: bytes = makers[self.algorithm]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return made

    @cached_property
    def signer(self) -> CryptoSigner:
        return read_signer(self.pem)

    @cached_property
    def sealing_pem(self) -> bytes:
        key = X25519PrivateKey.from_private_bytes(hashlib.sha256(self.seed).digest())
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def keyring(self) -> Keyring:
        key = read_sealing_key(self.sealing_pem)
        return Keyring({key_id(sealing_public(key)): key})


HUB = Actor("hub", "ed25519")
ED, LATTICE, CURVE = Actor("college", "ed25519"), Actor("lattice", "ml-dsa-65/1"), Actor("curve", "ecdsa-sha2-nistp256")
SUSPENDED, RETIRED = Actor("suspended", "ed25519", "suspended"), Actor("retired", "ed25519", key="retired")
STRANGER = Actor("stranger", "ed25519", "stranger")
OFFICERS = tuple(Actor(name, "ed25519", "officer") for name in ("wang", "li", "zhao"))
ACTORS = {actor.name: actor for actor in (HUB, ED, LATTICE, CURVE, SUSPENDED, RETIRED, STRANGER)}


@dataclass
class Writer:
    """Makes documents; remembers those of the files that are there already."""

    known: dict[str, list[bytes]] = field(default_factory=dict)  # id -> envelopes
    vectors: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def from_files(cls, folder: Path = FOLDER) -> "Writer":
        writer = cls()
        for path in sorted(folder.glob("*.json")):
            for found in _ENVELOPE.findall(json.loads(path.read_bytes()).get("given", "").encode()):
                try:
                    writer.known.setdefault(read_envelope(found).id, []).append(found)
                except TrustError:
                    continue
        return writer

    def signed(self, payload: Mapping[str, Any] | bytes, payload_type: str, by: Actor) -> bytes:
        """Sign; keep a known signature that holds."""
        data = payload if isinstance(payload, bytes) else dump_document(dict(payload))
        made = sign(data, payload_type, by.signer)
        for known in self.known.get(read_envelope(made).id, []):
            try:
                check_signature(read_envelope(known), by.signer.public_key)
            except TrustError:
                continue
            if read_envelope(known).keyids == (by.signer.public_key.keyid,):
                return known
        self.known.setdefault(read_envelope(made).id, []).append(made)
        return made

    def sealed(self, header: Mapping[str, Any], inner: bytes, to: Iterable[Actor], by: Actor) -> bytes:
        """Seal and sign; keep a known record that opens to the same."""
        readers = [*to]
        for known in (item for items in self.known.values() for item in items):
            envelope = read_envelope(known)
            if envelope.payload_type != SEALED_TYPE or by.signer.public_key.keyid not in envelope.keyids:
                continue
            payload = json.loads(envelope.payload)
            try:
                same = all(payload[name] == value for name, value in header.items())
                if same and all(unseal(payload, reader.keyring) == inner for reader in readers):
                    check_signature(envelope, by.signer.public_key)
                    return known
            except TrustError:
                continue
        keys = [sealing_public(read_sealing_key(reader.sealing_pem)) for reader in readers]
        return self.signed(seal(header, inner, to=keys), SEALED_TYPE, by)

    def add(
        self, name: str, what: str, kind: str, given: bytes, reader: Actor, held: Iterable[str] = (), **expected: Any
    ) -> None:
        """Keep one vector."""
        self.vectors[name] = {
            "what": what,
            "as": kind,
            "reader": reader.name,
            "held": [*held],
            "given": given.decode(),
            "expected": expected,
        }


def keys_file() -> dict[str, Any]:
    """Return `keys.json`."""
    members = {}
    for actor in ACTORS.values():
        key = actor.signer.public_key
        sealing = read_sealing_key(actor.sealing_pem)
        members[actor.name] = {
            "id": actor.id,
            "status": actor.status,
            "key_status": actor.key,
            "hub": actor is HUB,
            "algorithm": key.scheme,
            "keyid": key.keyid,
            "fingerprint": fingerprint(key),
            "public": public_pem(key),
            "sealing_key": sealing_public(sealing),
            "test_private_key": actor.pem.decode(),
            "test_private_sealing_key": actor.sealing_pem.decode(),
        }
    officers = {
        actor.name: {
            "keyid": actor.signer.public_key.keyid,
            "public": public_pem(actor.signer.public_key),
            "test_private_key": actor.pem.decode(),
        }
        for actor in OFFICERS
    }
    return {
        "warning": WARNING,
        "federation": FEDERATION,
        "now": NOW,
        "window_seconds": WINDOW_SECONDS,
        "members": members,
        "officers": officers,
    }


def content(number: int = 1) -> dict[str, Any]:
    """Return what the records of the vectors say: the valid example of a notice, numbered."""
    example: dict[str, Any] = json.loads((FOLDER.parent / "valid-notice.v1.json").read_bytes())
    return {**example, "title": f"{example['title']} {number}"}


def record(by: Actor, **changes: Any) -> dict[str, Any]:
    """Return the payload of a record."""
    stream = changes.pop("stream", "all")
    readers = changes.pop("readers", stream)
    digest = hashlib.sha256(load_schema_bytes("notice.v1")).hexdigest()
    return {
        "version": 1,
        "kind": "notice",
        "origin": by.id,
        "audience": {"federation": FEDERATION, "readers": readers},
        "stream": stream,
        "sequence": 1,
        "previous": "",
        "issued_at": NOW,
        "schema": {"id": "notice", "version": 1, "sha256": digest},
        "subject": "notice:1",
        "revision": 1,
        "supersedes": "",
        "policy": "",
        "content": content(),
    } | changes


def id_of(envelope: bytes) -> str:
    """Return the id of an envelope."""
    return read_envelope(envelope).id


def later(seconds: int) -> str:
    """Return the time of the vectors, moved."""
    return format_time(read_time(NOW) + timedelta(seconds=seconds))


def rewrite(envelope: bytes, **parts: str) -> bytes:
    """Return an envelope in its one spelling with other members than were signed."""
    value = json.loads(envelope)
    return json.dumps(value | parts, separators=(",", ":")).encode()


def write_all(writer: Writer) -> dict[str, str]:
    """Return file name -> text of everything."""
    from tests.schemas import vectors_lists, vectors_parcels, vectors_records, vectors_talk

    vectors_records.add_envelopes(writer)
    vectors_records.add_records(writer)
    vectors_records.add_sealed(writer)
    vectors_talk.add_receipts(writer)
    vectors_talk.add_requests(writer)
    vectors_talk.add_statements(writer)
    vectors_parcels.add_parcels(writer)
    vectors_parcels.add_enrolments(writer)
    vectors_lists.add_lists(writer)
    files = {"keys.json": keys_file(), **{f"{name}.json": vector for name, vector in writer.vectors.items()}}
    return {name: json.dumps(value, ensure_ascii=False, indent=1) + "\n" for name, value in files.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    texts = write_all(Writer.from_files())
    for old in FOLDER.glob("*.json"):
        if old.name not in texts:
            old.unlink()
    for name, text in texts.items():
        (FOLDER / name).write_text(text, encoding="utf-8")

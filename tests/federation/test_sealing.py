"""One plaintext under one id: what a reader opens is what the header commits to, whatever its sender has crafted."""

import base64
import json
import random
import secrets
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from federation import sealing
from federation.documents import sha256_hex
from federation.envelope import MAX_ENVELOPE_BYTES, SEALED_TYPE, sign
from federation.errors import TrustError
from federation.keys import new_private_pem, read_signer, sealing_public
from federation.sealing import Keyring, group_key_id, key_id, new_group_key, read_inner, seal, unseal, write_inner
from federation.validation import check_schema

HEADER = {
    "version": 1,
    "origin": "n-" + "a" * 26,
    "audience": {"federation": "f-" + "a" * 26, "readers": "group:women"},
    "stream": "group:women",
    "sequence": 1,
    "previous": "",
    "issued_at": "2026-10-10T08:00:00Z",
    "list": 3,
    "epoch": 0,
}
SAID = {
    "kind": "notice",
    "schema": {"id": "notice", "version": 1, "sha256": "0" * 64},
    "subject": "x",
    "revision": 1,
    "supersedes": "",
    "policy": "",
}


class Reader:
    def __init__(self) -> None:
        self.private = X25519PrivateKey.generate()
        self.public = sealing_public(self.private)
        self.keyring = Keyring({key_id(self.public): self.private})


def _code(payload: dict[str, Any], keyring: Keyring) -> str:
    try:
        unseal(payload, keyring)
    except TrustError as error:
        return error.code
    return ""


def test_each_reader_opens_and_nobody_else() -> None:
    readers, stranger = [Reader() for _ in range(3)], Reader()
    inner = write_inner(SAID, b'{ "n":1}')
    payload = json.loads(seal(HEADER, inner, to=[reader.public for reader in readers]))
    check_schema("sealed.v1", payload)
    assert {unseal(payload, reader.keyring) for reader in readers} == {inner}
    assert read_inner(inner)["content"] == {"n": 1}
    assert inner.endswith(b'"content":{ "n":1}}')
    assert _code(payload, stranger.keyring) == "sealed-to-others"
    assert _code(payload, Keyring()) == "sealed-to-others"


def test_the_same_content_twice_looks_different() -> None:
    reader = Reader()
    payloads = [json.loads(seal(HEADER, write_inner(SAID, b"{}"), to=[reader.public])) for _ in range(2)]
    for part in ("commitment", "wraps", "ciphertext"):
        assert payloads[0][part] != payloads[1][part]


def test_a_group_key_opens_its_epoch_alone() -> None:
    key, other = new_group_key(), new_group_key()
    inner = write_inner(SAID, b"{}")
    payload = json.loads(seal(HEADER | {"epoch": 2}, inner, group_key=key))
    check_schema("sealed.v1", payload)
    assert unseal(payload, Keyring(group={group_key_id(key): key})) == inner
    assert _code(payload, Keyring(group={group_key_id(other): other})) == "sealed-epoch-unknown"
    assert _code(payload, Keyring(group={group_key_id(key): other})) == "sealed-broken"


@pytest.mark.parametrize(
    "name", ["origin", "stream", "sequence", "previous", "issued_at", "list", "epoch", "commitment"]
)
def test_the_whole_clear_header_is_bound(name: str) -> None:
    reader = Reader()
    payload = json.loads(seal(HEADER, write_inner(SAID, b"{}"), to=[reader.public]))
    changed = (
        {"sha256": "0" * 64} if name == "commitment" else 7 if isinstance(payload[name], int) else payload[name] + "a"
    )
    assert _code(payload | {name: changed}, reader.keyring) == "sealed-broken"


@pytest.mark.parametrize("ciphertext", ["", "AAAA", "A", "AAAA" * 50])
def test_a_broken_ciphertext_is_an_error_with_a_code(ciphertext: str) -> None:
    reader = Reader()
    payload = json.loads(seal(HEADER, write_inner(SAID, b"{}"), to=[reader.public]))
    assert _code(payload | {"ciphertext": ciphertext}, reader.keyring) == "sealed-broken"
    wraps = [{"key": key_id(reader.public), "wrapped": ciphertext}]
    assert _code(payload | {"wraps": wraps}, reader.keyring) == "sealed-broken"


def test_two_content_keys_for_two_readers_open_nothing_to_the_second() -> None:
    one, two = Reader(), Reader()
    first, second = (json.loads(seal(HEADER, write_inner(SAID, b"{}"), to=[reader.public])) for reader in (one, two))
    mixed = first | {"wraps": first["wraps"] + second["wraps"]}
    assert _code(mixed, one.keyring) == ""
    assert _code(mixed, two.keyring) == "sealed-broken"


def test_a_ciphertext_that_two_keys_open_differently_is_accepted_by_nobody() -> None:
    """The attack on ciphers that do not commit to their key, carried out: the cipher alone would let both read."""
    one, two = Reader(), Reader()
    claimed = b"what the header commits to"
    clear = HEADER | {"commitment": {"sha256": sha256_hex(claimed)}}
    bound = sealing._bound(clear)
    keys = secrets.token_bytes(32), secrets.token_bytes(32)
    ciphertext = _collide(keys, bound)
    read = [ChaCha20Poly1305(key).decrypt(bytes(12), ciphertext, bound) for key in keys]
    assert read[0] != read[1], "the control: one ciphertext, two keys, two plaintexts"
    wraps = [
        {"key": key_id(reader.public), "wrapped": _b64(_wrap(key, reader.public, bound))}
        for key, reader in zip(keys, (one, two), strict=True)
    ]
    payload = clear | {"wraps": wraps, "ciphertext": _b64(ciphertext)}
    check_schema("sealed.v1", payload)
    assert [_code(payload, reader.keyring) for reader in (one, two)] == ["commitment-mismatch"] * 2


def _wrap(content_key: bytes, public: str, bound: bytes) -> bytes:
    return sealing._SUITE.encrypt(content_key, sealing._public(public), info=bound)


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


P = 2**130 - 5


def _one_time_key(key: bytes) -> tuple[int, int]:
    stream = Cipher(ChaCha20(key, bytes(16)), None).encryptor().update(bytes(32))
    clamp = 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return int.from_bytes(stream[:16], "little") & clamp, int.from_bytes(stream[16:], "little")


def _collide(keys: tuple[bytes, bytes], aad: bytes) -> bytes:
    """Return a ciphertext with a tag that holds under both keys: two free blocks solve two equations mod 2^130-5."""
    chance = random.Random(1)  # noqa: S311  a search
    pads = [_one_time_key(key) for key in keys]
    padded = aad + bytes(-len(aad) % 16)
    lengths = len(aad).to_bytes(8, "little") + (48).to_bytes(8, "little")
    while True:
        first, tag = chance.randbytes(16), chance.getrandbits(128)
        rows = []
        for r, s in pads:  # ((known + x) r + y) r r + lengths r = tag - s
            known = 0
            for at in range(0, len(padded), 16):
                known = (known + int.from_bytes(padded[at : at + 16] + b"\x01", "little")) * r % P
            known = (known + int.from_bytes(first + b"\x01", "little")) * r % P
            wanted = (tag - s) % 2**128 + chance.randrange(3) * 2**128
            constant = known * pow(r, 3, P) + int.from_bytes(lengths + b"\x01", "little") * r
            rows.append((pow(r, 3, P), pow(r, 2, P), (wanted - constant) % P))
        (a, b, e), (c, d, f) = rows
        inverse = pow(a * d - b * c, -1, P)
        blocks = [(e * d - b * f) * inverse % P, (a * f - e * c) * inverse % P]
        if all(2**128 <= block < 2**129 for block in blocks) and all(row[2] < P for row in rows):
            free = b"".join((block - 2**128).to_bytes(16, "little") for block in blocks)
            return first + free + tag.to_bytes(16, "little")


@pytest.mark.parametrize(
    "inner",
    [b"[]", b"{}", b'{"kind":"x"}', write_inner(SAID, b"{}").replace(b'"kind"', b'"king"')],
)
def test_what_is_not_the_inside_of_a_record_is_refused(inner: bytes) -> None:
    with pytest.raises(TrustError):
        read_inner(inner)


def test_a_key_for_three_thousand_readers_is_one_record() -> None:
    public = [Reader().public for _ in range(3_000)]
    payload = seal(HEADER | {"epoch": 1}, write_inner(SAID, b'{"epoch":1,"key":"' + b"0" * 64 + b'"}'), to=public)
    check_schema("sealed.v1", json.loads(payload))
    assert len(sign(payload, SEALED_TYPE, read_signer(new_private_pem()))) < MAX_ENVELOPE_BYTES

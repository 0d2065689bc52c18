"""Sealing: the content of a record for its readers alone (HPKE, RFC 9180), and one plaintext under one id.

    clear header   version, origin, audience, stream, sequence, previous, issued_at, list, epoch, commitment
    wraps          the record's fresh content key, once for each reader: {"key": <id of the reader's key>, "wrapped"}
    ciphertext     {kind, schema, subject, revision, supersedes, policy, salt, content}, under the content key

The suite belongs to the type and to the listed key: X25519, HKDF-SHA256, ChaCha20-Poly1305. HPKE's `info` and the
cipher's associated data are the clear header, so that nothing of it can be exchanged for another's. Neither cipher
binds a ciphertext to one key: whoever seals could craft one that two keys open differently. So the header commits to
the plaintext (SHA-256; the salt inside hides short contents), every reader checks it, and plaintext and record together
prove the content to a third person. Up to 32 readers have a wrap each; more share a group key of the stream (`epoch`
from 1), which is a sealed record of kind `group-key` itself and made anew whenever the readers change. Pure: no
database, no file; nothing here verifies a signature.
"""

import base64
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from federation.documents import dump_document, read_object, sha256_hex, splice
from federation.errors import TrustError

MAX_MEMBER_WRAPS = 32
MAX_WRAPS = 4_000
GROUP_KEY = "group-key"  # kind of the record that hands a group key out
INNER = frozenset({"kind", "schema", "subject", "revision", "supersedes", "policy", "salt", "content"})
UNREADABLE = frozenset({"sealed-to-others", "sealed-epoch-unknown"})  # not addressed to us, or not yet to be opened

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_LABEL = b"gonghui-sealed-v1\n"
_ONCE = bytes(12)  # the nonce of a key that encrypts one plaintext
_NOT_HEADER = frozenset({"wraps", "ciphertext"})


@dataclass(frozen=True)
class Keyring:
    """What a reader can open with: its private keys, and the group keys it was given, by their ids."""

    private: Mapping[str, X25519PrivateKey] = field(default_factory=dict, repr=False)
    group: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def key_id(public: str) -> str:
    """Return the id by which a wrap names a listed sealing key (X25519, raw, base64): 32 hex digits."""
    return hashlib.sha256(b"x25519\n" + base64.b64decode(public)).hexdigest()[:32]


def group_key_id(key: bytes) -> str:
    """Return the id by which a wrap names a group key."""
    return hashlib.sha256(b"group-key\n" + key).hexdigest()[:32]


def new_group_key() -> bytes:
    """Return 32 random bytes."""
    return secrets.token_bytes(32)


def write_inner(head: Mapping[str, Any], content: bytes) -> bytes:
    """Return the plaintext: `head` (all of INNER but salt and content), a fresh salt, exactly these content bytes."""
    return splice({**head, "salt": secrets.token_hex(32)}, "content", content)


def is_usable(public: str) -> bool:
    """Tell whether something can be sealed to this key: a point of small order would seal to everybody."""
    try:
        _SUITE.encrypt(b"", _public(public))
    except ValueError:
        return False
    return True


def seal(header: Mapping[str, Any], inner: bytes, *, to: Iterable[str] = (), group_key: bytes = b"") -> bytes:
    """Return the payload of a sealed record; `header` is the clear one without its commitment.

    `to` are listed sealing keys; with `group_key` there is one wrap, under that key.
    """
    clear = {**header, "commitment": {"sha256": sha256_hex(inner)}}
    bound = _bound(clear)
    content_key = secrets.token_bytes(32)
    if group_key:
        nonce = os.urandom(12)
        wrapped = nonce + ChaCha20Poly1305(group_key).encrypt(nonce, content_key, bound)
        wraps = [(group_key_id(group_key), wrapped)]
    else:
        wraps = [(key_id(key), _SUITE.encrypt(content_key, _public(key), info=bound)) for key in sorted(set(to))]
    ciphertext = ChaCha20Poly1305(content_key).encrypt(_ONCE, inner, bound)
    return dump_document(
        {
            **clear,
            "wraps": [{"key": key, "wrapped": base64.b64encode(data).decode()} for key, data in wraps],
            "ciphertext": base64.b64encode(ciphertext).decode(),
        }
    )


def unseal(payload: Mapping[str, Any], keyring: Keyring) -> bytes:
    """Return the plaintext of a payload that conforms to `sealed.v1`; raise TrustError.

    The code is one of UNREADABLE where it is not sealed to us, or its group key is not here.
    """
    bound = _bound({name: value for name, value in payload.items() if name not in _NOT_HEADER})
    content_key = _find_content_key(payload, keyring, bound)
    try:
        inner = ChaCha20Poly1305(content_key).decrypt(_ONCE, base64.b64decode(payload["ciphertext"]), bound)
    except (InvalidTag, ValueError) as error:
        raise _broken() from error
    check_commitment(payload, inner)
    return inner


def check_commitment(payload: Mapping[str, Any], inner: bytes) -> None:
    """Raise TrustError unless `inner` is the plaintext to which the sealed record commits."""
    if sha256_hex(inner) != payload["commitment"]["sha256"]:
        raise TrustError(
            "commitment-mismatch",
            "密封的内容与承诺的摘要不符：发送方给了不同的内容。",
            "The sealed content is not the one committed to: its sender has sealed different ones.",
        )


def read_inner(inner: bytes) -> dict[str, Any]:
    """Read the plaintext whose commitment was checked; raise TrustError. Its members are those of INNER alone."""
    value = read_object(inner)
    salt = value.get("salt")
    if value.keys() != INNER or not isinstance(salt, str) or len(salt) != 64:
        raise TrustError("sealed-shape", "密封的内容格式不对。", "What was sealed is not the inside of a record.")
    return value


def _find_content_key(payload: Mapping[str, Any], keyring: Keyring, bound: bytes) -> bytes:
    wraps = {wrap["key"]: wrap["wrapped"] for wrap in payload["wraps"]}
    for name, private in keyring.private.items():
        if name in wraps:
            try:
                return _checked(_SUITE.decrypt(base64.b64decode(wraps[name]), private, info=bound))
            except (InvalidTag, ValueError) as error:
                raise _broken() from error
    for name, key in keyring.group.items():
        if name in wraps:
            data = base64.b64decode(wraps[name])
            try:
                return _checked(ChaCha20Poly1305(key).decrypt(data[:12], data[12:], bound))
            except (InvalidTag, ValueError) as error:
                raise _broken() from error
    if payload["epoch"] and len(wraps) == 1:
        raise TrustError("sealed-epoch-unknown", "缺少该组的密钥。", "The group's key of this epoch is not here.")
    raise TrustError("sealed-to-others", "条目没有密封给本节点。", "The record is not sealed to this node.")


def _checked(content_key: bytes) -> bytes:
    if len(content_key) != 32:
        raise _broken()
    return content_key


def _broken() -> TrustError:
    return TrustError("sealed-broken", "密封的内容无法打开。", "What was sealed cannot be opened.")


def _bound(clear: Mapping[str, Any]) -> bytes:
    return _LABEL + dump_document(clear)


def _public(key: str) -> X25519PublicKey:
    return X25519PublicKey.from_public_bytes(base64.b64decode(key))

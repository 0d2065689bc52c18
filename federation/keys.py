"""Keys of nodes: signing keys, spoken for by `securesystemslib`, and X25519 keys to which others seal.

A node's identity is a random identifier and never its key; the key id is securesystemslib's digest of the public key.
The scheme (Ed25519 by default, ECDSA P-256 and P-384 for security modules, ML-DSA) belongs to the key as the member
list names it; no message chooses one. A sealing key opens what was sealed to it for as long as its file is kept.
"""

import base64
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA65PrivateKey, MLDSA87PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, Key, SSlibKey

from federation.errors import TrustError

_NEW_KEYS: dict[str, Callable[[], Any]] = {
    "ed25519": Ed25519PrivateKey.generate,
    "ecdsa-sha2-nistp256": lambda: generate_private_key(SECP256R1()),
    "ecdsa-sha2-nistp384": lambda: generate_private_key(SECP384R1()),
    "ml-dsa-44/1": MLDSA44PrivateKey.generate,
    "ml-dsa-65/1": MLDSA65PrivateKey.generate,
    "ml-dsa-87/1": MLDSA87PrivateKey.generate,
}
SCHEMES = tuple(_NEW_KEYS)  # securesystemslib's names, which TUF metadata use too
ED25519 = SCHEMES[0]


@dataclass(frozen=True)
class Member:
    """A node of a federation as its member list names it: who owns which key, and whether it may speak now."""

    id: str
    federation: str
    key: Key  # the key in question
    active: bool = True
    is_hub: bool = False
    groups: frozenset[str] = frozenset()
    sealing_key: str = ""  # X25519, raw, base64; empty: nothing can be sealed to this member
    revoked_at: datetime | None = None  # of `key`: what it signed counts only where evidence shows it older
    retired: bool = False  # `key` was rotated away: what it signed until then stands, it says nothing new
    retired_at: datetime | None = None  # since when, where that is known
    other_keys: tuple[Key, ...] = ()  # further keys with which this member signs now

    @property
    def keys(self) -> tuple[Key, ...]:
        """Return every key with which this member may sign an answer or a receipt."""
        return (self.key, *self.other_keys)


def new_identifier(prefix: str) -> str:
    """Return a random identifier such as `n-mfrggzdfmztwq2lk...`: 128 bits in lower-case base32."""
    return f"{prefix}-{base64.b32encode(secrets.token_bytes(16)).decode().rstrip('=').lower()}"


def write_private_file(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read (mode 0600 from its first moment); refuse to overwrite."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def new_private_pem(scheme: str = ED25519) -> bytes:
    """Return a new private key of one of `SCHEMES` as unencrypted PKCS#8 PEM."""
    pem: bytes = _NEW_KEYS[scheme]().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def new_sealing_pem() -> bytes:
    """Return a new X25519 private key as unencrypted PKCS#8 PEM."""
    return X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_sealing_key(pem: bytes) -> X25519PrivateKey:
    """Read a PKCS#8 PEM private key to which others seal; raise TrustError where it is no X25519 key."""
    key = _read_private(pem)
    if not isinstance(key, X25519PrivateKey):
        raise TrustError("key-type", "这不是解密密钥（X25519）。", "This is no sealing key (X25519).")
    return key


def sealing_public(key: X25519PrivateKey) -> str:
    """Return the public half as the member list writes it: 32 raw bytes in base64."""
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def read_signer(pem: bytes) -> CryptoSigner:
    """Read a PKCS#8 PEM private key; raise TrustError where it is none of `SCHEMES`."""
    try:
        signer = CryptoSigner(_read_private(pem))
    except ValueError as error:  # securesystemslib has no name for this kind of key
        raise _wrong_type() from error
    _check_scheme(signer.public_key)
    return signer


def _read_private(pem: bytes) -> Any:
    try:
        return load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # not chained: the library's message may quote what it could not read
        raise TrustError("key-unreadable", "密钥文件无法读取。", "The key file cannot be read.") from None


def public_pem(key: Key) -> str:
    """Return the public key as PEM text (SubjectPublicKeyInfo)."""
    value = str(key.keyval["public"])
    if key.scheme != ED25519:  # securesystemslib keeps the others as PEM
        return value
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(value))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@lru_cache(maxsize=4096)
def read_public_key(pem: str) -> Key:
    """Read a public key in PEM; raise TrustError where it is none of `SCHEMES`. The key id is computed, never taken."""
    try:
        key = SSlibKey.from_crypto(load_pem_public_key(pem.encode()))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError("key-unreadable", "公钥无法读取。", "The public key cannot be read.") from error
    _check_scheme(key)
    return key


def _check_scheme(key: Key) -> None:
    if key.scheme not in SCHEMES:
        raise _wrong_type()


def _wrong_type() -> TrustError:
    return TrustError("key-type", "不支持的密钥算法。", "Keys of this algorithm are not used here.")


def fingerprint(key: Key) -> str:
    """Return the key id in groups of four, as read over the telephone: `ab12 cd34 ...` (SHA-256, 64 hex digits)."""
    return " ".join(key.keyid[i : i + 4] for i in range(0, len(key.keyid), 4))

"""Signing keys of nodes: Ed25519, made by `cryptography`, spoken for by `securesystemslib`.

A node's identity is a random identifier and never its key; the key id is securesystemslib's digest of the public key.
"""

import base64
import os
import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from securesystemslib.signer import CryptoSigner, SSlibKey

from federation.errors import TrustError


@dataclass(frozen=True)
class Member:
    """A node of a federation as its member list names it: who owns which key, and whether it may speak now."""

    id: str
    federation: str
    key: SSlibKey
    active: bool = True
    is_hub: bool = False


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


def new_private_pem() -> bytes:
    """Return a new Ed25519 private key as unencrypted PKCS#8 PEM."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_signer(pem: bytes) -> CryptoSigner:
    """Read a PKCS#8 PEM private key; raise TrustError where it is not an Ed25519 key."""
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise TrustError("key-unreadable", "密钥文件无法读取。", "The key file cannot be read.") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise TrustError("key-type", "密钥不是 Ed25519。", "The key is not Ed25519.")
    return CryptoSigner(private)


def public_pem(key: SSlibKey) -> str:
    """Return the public key as PEM text (SubjectPublicKeyInfo)."""
    raw = bytes.fromhex(str(key.keyval["public"]))
    public = Ed25519PublicKey.from_public_bytes(raw)
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@lru_cache(maxsize=4096)
def read_public_key(pem: str) -> SSlibKey:
    """Read a public key in PEM; raise TrustError where it is not Ed25519. The key id is computed, never taken over."""
    try:
        public = load_pem_public_key(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TrustError("key-unreadable", "公钥无法读取。", "The public key cannot be read.") from error
    if not isinstance(public, Ed25519PublicKey):
        raise TrustError("key-type", "密钥不是 Ed25519。", "The key is not Ed25519.")
    return SSlibKey.from_crypto(public)


def fingerprint(key: SSlibKey) -> str:
    """Return the key id in groups of four, as read over the telephone: `ab12 cd34 ...` (SHA-256, 64 hex digits)."""
    return " ".join(key.keyid[i : i + 4] for i in range(0, len(key.keyid), 4))

"""Key files that say nothing to whoever copies them: AES-256-GCM under a passphrase (scrypt) or under a random key.

    {"format":"gonghui-locked.v1","name":"node.key","kdf":"scrypt-65536-8-1","salt":"…","nonce":"…","sealed":"…"}

`kdf` is `scrypt-65536-8-1` for a passphrase, `none` for a key of 32 random bytes. The name is authenticated with the
content, so that one locked file cannot be put in another's place. A wrong passphrase and a changed byte look alike.
What is at work here is never part of an error.
"""

import base64
import binascii
import json
import secrets
from hashlib import scrypt

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from federation.documents import read_object
from federation.errors import InputRefused, TrustError

FORMAT = "gonghui-locked.v1"
KDF = "scrypt-65536-8-1"  # N, r, p: 64 MiB and about a fifth of a second for each guess
NO_KDF = "none"
MIN_PASSPHRASE = 12
MAX_LOCKED_BYTES = 1_000_000
_SALT_BYTES, _NONCE_BYTES, _KEY_BYTES = 16, 12, 32


class Passphrase:
    """A passphrase and the keys derived from it in this process. Shows itself nowhere."""

    def __init__(self, text: str) -> None:
        """Take a passphrase as it was read, without line end; raise InputRefused where it is too short."""
        if len(text) < MIN_PASSPHRASE:
            raise InputRefused(
                "passphrase-short",
                f"口令至少 {MIN_PASSPHRASE} 个字符。",
                f"A passphrase has at least {MIN_PASSPHRASE} characters.",
            )
        self._text = text.encode()
        self._derived: dict[bytes, bytes] = {}

    def __repr__(self) -> str:
        return "Passphrase(…)"

    def key(self, salt: bytes) -> bytes:
        """Return the 32-byte key for a salt; each salt costs its derivation once."""
        if salt not in self._derived:
            self._derived[salt] = scrypt(self._text, salt=salt, n=65536, r=8, p=1, maxmem=2**27, dklen=_KEY_BYTES)
        return self._derived[salt]

    def newest_salt(self) -> bytes:
        """Return the salt used last, a new one where none was: files of one node share it and open in one step."""
        return next(reversed(self._derived), b"") or secrets.token_bytes(_SALT_BYTES)


def is_locked(data: bytes) -> bool:
    """Tell whether `data` is a locked file."""
    return data.startswith(b'{"format":"gonghui-locked.')


def lock(content: bytes, name: str, secret: Passphrase | bytes) -> bytes:
    """Return `content` locked under a passphrase, or under 32 random bytes that whoever calls keeps."""
    salt = secret.newest_salt() if isinstance(secret, Passphrase) else b""
    key = secret.key(salt) if isinstance(secret, Passphrase) else secret
    head = _head(name, KDF if isinstance(secret, Passphrase) else NO_KDF, salt)
    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(key).encrypt(nonce, content, _bytes(head))
    return _write(head, nonce, sealed)


def unlock(data: bytes, name: str, secret: Passphrase | bytes) -> bytes:
    """Return what was locked as `name`; raise TrustError where the secret is wrong or a byte was changed."""
    outer = read_object(data, max_bytes=MAX_LOCKED_BYTES)
    salt, nonce, sealed = (_raw(outer.get(part)) for part in ("salt", "nonce", "sealed"))
    head = _head(name, KDF if isinstance(secret, Passphrase) else NO_KDF, salt)
    if len(nonce) != _NONCE_BYTES or data != _write(head, nonce, sealed):  # one spelling, as everywhere
        raise TrustError("lock-unknown", "不是这种加密文件。", "The file is not locked in this way or by this name.")
    key = secret.key(salt) if isinstance(secret, Passphrase) else secret
    try:
        return AESGCM(key).decrypt(nonce, sealed, _bytes(head))
    except InvalidTag:
        raise TrustError(
            "unlock-failed",
            f"{name} 打不开：口令或份额不对，或文件已损坏。",
            f"{name} does not open: a wrong passphrase or share, or a damaged file.",
        ) from None


def _head(name: str, kdf: str, salt: bytes) -> dict[str, str]:
    return {"format": FORMAT, "name": name, "kdf": kdf, "salt": _base64(salt)}


def _write(head: dict[str, str], nonce: bytes, sealed: bytes) -> bytes:
    return _bytes(head | {"nonce": _base64(nonce), "sealed": _base64(sealed)}) + b"\n"


def _bytes(value: dict[str, str]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _raw(text: object) -> bytes:
    try:
        return base64.b64decode(str(text), validate=True)
    except binascii.Error as error:
        raise TrustError("lock-unknown", "不是加密文件。", "This is no locked file.") from error

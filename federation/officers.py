"""A list officer's key (签署人密钥): a file for a safe, and the card with its public half.

The key is PKCS#8 PEM, with a passphrase if wished, and never lies on the hub. The card is signed by the key it names;
that it is the officer's is for people to know, who compare its fingerprint.
"""

import json

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from securesystemslib.signer import CryptoSigner

from federation.documents import dump_document, read_object
from federation.envelope import check_signature, check_type, read_envelope, sign
from federation.errors import InputRefused, TrustError
from federation.keys import ED25519, fingerprint, new_private_pem, public_pem, read_public_key, read_signer
from federation.roll import Officer
from federation.validation import check_schema

OFFICER_TYPE = "application/vnd.gonghui.officer.v1+json"
MAX_CARD_BYTES = 32_768


def new_officer_key(passphrase: str = "", scheme: str = ED25519) -> bytes:
    """Return a new private key as PEM, encrypted where a passphrase is given."""
    pem = new_private_pem(scheme)
    if not passphrase:
        return pem
    key = load_pem_private_key(pem, password=None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode()))


def read_officer_key(pem: bytes, passphrase: str = "") -> CryptoSigner:
    """Read an officer's key; raise TrustError `key-unreadable`, also for a wrong or missing passphrase."""
    try:
        key = load_pem_private_key(pem, password=passphrase.encode() or None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # not chained: the library's message may quote what it could not read
        raise TrustError(
            "key-unreadable",
            "密钥文件无法读取，或口令不对。",
            "The key file cannot be read, or the passphrase is not its own.",
        ) from None
    return read_signer(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def build_card(signer: CryptoSigner, name: str) -> bytes:
    """Return the card of an officer as JSON text: name, fingerprint, public key, all signed by that key."""
    pem = public_pem(signer.public_key)
    payload = {"version": 1, "name": name, "keyid": signer.public_key.keyid, "public": pem}
    check_schema("officer.v1", payload)
    envelope = sign(dump_document(payload), OFFICER_TYPE, signer).decode()
    shown = {"name": name, "fingerprint": fingerprint(signer.public_key), "public": pem, "envelope": envelope}
    return json.dumps(shown, ensure_ascii=False, indent=2).encode() + b"\n"


def read_card(data: bytes) -> Officer:
    """Verify and read an officer's card; raise InputRefused where it is none, TrustError where it does not hold."""
    try:
        outer = read_object(data, max_bytes=MAX_CARD_BYTES)
        envelope = read_envelope(str(outer.get("envelope", "")).encode(), max_bytes=MAX_CARD_BYTES)
        check_type(envelope, OFFICER_TYPE)
        key = read_public_key(str(outer.get("public", "")))
    except TrustError as error:
        raise InputRefused(
            "officer-card-unreadable",
            "这不是签署人公钥文件。",
            "This is no officer's card.",
            reason=error.code,
        ) from error
    check_signature(envelope, key)
    payload = read_object(envelope.payload)
    check_schema("officer.v1", payload)
    if payload["public"] != public_pem(key) or payload["keyid"] != key.keyid:
        raise TrustError("key-file-mismatch", "文件中的公钥前后不一。", "The file names two different keys.")
    return Officer(payload["name"], payload["public"])

"""DSSE envelopes over exact bytes, through securesystemslib; exactly one spelling of each envelope is accepted.

    {"payload":"<base64>","payloadType":"<type>","signatures":[{"keyid":"<64 hex>","sig":"<base64>"}]}

No blanks, no other fields, one base64 alphabet with padding. So an envelope fits on one line and served bytes never
change. The id of what is signed is the SHA-256 of DSSE's pre-authentication encoding: a second signature never changes
it. The algorithm belongs to the key; a message cannot choose one. Nothing here parses a payload.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from securesystemslib.dsse import Envelope as Dsse
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import Key, Signature, Signer

from federation.documents import sha256_hex
from federation.errors import TrustError

RECORD_TYPE = "application/vnd.gonghui.record.v1+json"
REQUEST_TYPE = "application/vnd.gonghui.request.v1+json"
ANSWER_TYPE = "application/vnd.gonghui.answer.v1+json"
RECEIPT_TYPE = "application/vnd.gonghui.receipt.v1+json"
SEALED_TYPE = "application/vnd.gonghui.sealed.v1+json"
HEADS_TYPE = "application/vnd.gonghui.heads.v1+json"
CHECKPOINT_TYPE = "application/vnd.gonghui.checkpoint.v1+json"
COSIGNATURE_TYPE = "application/vnd.gonghui.cosignature.v1+json"
PARCEL_TYPE = "application/vnd.gonghui.parcel.v1+json"
TYPES = (
    RECORD_TYPE,
    REQUEST_TYPE,
    ANSWER_TYPE,
    RECEIPT_TYPE,
    SEALED_TYPE,
    HEADS_TYPE,
    CHECKPOINT_TYPE,
    COSIGNATURE_TYPE,
    PARCEL_TYPE,
)

MAX_ENVELOPE_BYTES = 1_000_000
MAX_SIGNATURES = 8

# 6,400 digits hold an ML-DSA-87 signature. Possessive: what nearly fits is not tried again
_SIGNATURE = rb'\{"keyid":"([0-9a-f]{64})","sig":"([A-Za-z0-9+/]{4,6400}+={0,2})"\}'
_START = b'{"payload":"'  # then base64, which its decoder checks
_REST = re.compile(
    rb'","payloadType":"([!-!#-\[\]-~]{1,120}+)","signatures":\[('
    + _SIGNATURE
    + rb"(?:,"
    + _SIGNATURE
    + rb"){0,%d}+)\]\}" % (MAX_SIGNATURES - 1)
)
_ONE = re.compile(_SIGNATURE)


@dataclass(frozen=True)
class Envelope:
    """One envelope as it was read: payload bytes, their type, and signatures as pairs (key id, signature)."""

    raw: bytes
    payload: bytes
    payload_type: str
    signatures: tuple[tuple[str, bytes], ...]

    @cached_property
    def pae(self) -> bytes:
        """Return DSSE's pre-authentication encoding: what is signed."""
        return Dsse(self.payload, self.payload_type, {}).pae()

    @cached_property
    def id(self) -> str:
        """Return the identity of what is signed: SHA-256 of the pre-authentication encoding, in hex."""
        return sha256_hex(self.pae)

    @property
    def keyids(self) -> tuple[str, ...]:
        """Return the ids of the keys that claim to have signed."""
        return tuple(keyid for keyid, _ in self.signatures)


def sign(payload: bytes, payload_type: str, signer: Signer) -> bytes:
    """Return the envelope of `payload`, signed once."""
    envelope = Dsse(payload, payload_type, {})
    signature = envelope.sign(signer)
    return _write(payload, payload_type, [(signature.keyid, bytes.fromhex(signature.signature))])


def add_signature(envelope: bytes, signer: Signer) -> bytes:
    """Return the envelope with one more signature on the same bytes, once of each key; its id stays."""
    held = read_envelope(envelope)
    signature = Dsse(held.payload, held.payload_type, {}).sign(signer)
    added = (signature.keyid, bytes.fromhex(signature.signature))
    return with_signatures(held, [*(pair for pair in held.signatures if pair[0] != added[0]), added])


def with_signatures(envelope: Envelope, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the envelope with these signatures in place of its own; its id stays."""
    return _write(envelope.payload, envelope.payload_type, signatures)


def read_envelope(data: bytes, *, max_bytes: int = MAX_ENVELOPE_BYTES) -> Envelope:
    """Read an envelope; raise TrustError where it is too large or not spelt as above. Verifies nothing."""
    if len(data) > max_bytes:
        raise TrustError("envelope-too-large", "信封过大。", f"The envelope is larger than {max_bytes} bytes.")
    end = data.find(b'"', len(_START)) if data.startswith(_START) else -1
    match = _REST.fullmatch(data, end) if end != -1 else None
    if match is None:
        raise TrustError(
            "envelope-shape",
            f"信封格式不对，或签名多于 {MAX_SIGNATURES} 个。",
            f"This is not an envelope in its one spelling, or it has more than {MAX_SIGNATURES} signatures.",
        )
    payload = _decode(data[len(_START) : end])
    signatures = tuple((keyid.decode(), _decode(sig)) for keyid, sig in _ONE.findall(match[2]))
    if len({keyid for keyid, _ in signatures}) != len(signatures):
        raise TrustError("envelope-shape", "同一密钥签了两次。", "One key signed twice.")
    return Envelope(data, payload, match[1].decode(), signatures)


def check_type(envelope: Envelope, payload_type: str) -> None:
    """Raise TrustError unless the envelope carries `payload_type`; so none can be replayed as another."""
    if envelope.payload_type == payload_type:
        return
    if envelope.payload_type in TYPES:
        raise TrustError("type-mismatch", "文件类型不符。", "A document of another type was expected here.")
    raise TrustError(
        "type-unknown",
        "不认识的文件类型或版本，请升级本节点。",
        "Unknown type or version of document; update this node.",
        type=envelope.payload_type,
    )


def check_signature(envelope: Envelope, key: Key) -> None:
    """Raise TrustError unless `key` signed these payload bytes with this type."""
    for keyid, sig in envelope.signatures:
        if keyid != key.keyid:
            continue
        try:
            key.verify_signature(Signature(keyid, sig.hex()), envelope.pae)
        except UnverifiedSignatureError as error:
            raise TrustError("signature-invalid", "签名无效。", "The signature does not hold.") from error
        return
    raise TrustError("key-not-signer", "该密钥没有签名。", "This key has not signed the document.")


def signed_by(envelope: Envelope, key: Key) -> bool:
    """Tell whether `key` signed these payload bytes with this type: verified, however many others claim to have."""
    try:
        check_signature(envelope, key)
    except TrustError:
        return False
    return True


def check_signed_by(envelope: Envelope, keys: Iterable[Key]) -> None:
    """Raise TrustError unless one of `keys`, all one member's, signed: while a key is rotated, either may have."""
    known = list(keys)
    key = next((key for key in known if key.keyid in envelope.keyids), known[0])
    check_signature(envelope, key)


def join_page(envelopes: Iterable[bytes]) -> bytes:
    """Return several envelopes, verbatim, as one JSON array with one envelope a line."""
    return b"[" + b",\n".join(envelopes) + b"]"


def split_page(data: bytes) -> list[bytes]:
    """Return the bytes of each envelope of a page; raise TrustError where it is no page. Envelopes are not read yet."""
    if not (data.startswith(b"[{") and data.endswith(b"}]")):
        raise TrustError("page-shape", "不是交换页。", "This is not a page of envelopes.")
    return data[1:-1].split(b",\n")


def _write(payload: bytes, payload_type: str, signatures: Iterable[tuple[str, bytes]]) -> bytes:
    parts = b",".join(b'{"keyid":"%b","sig":"%b"}' % (k.encode(), base64.b64encode(s)) for k, s in signatures)
    return b'{"payload":"%b","payloadType":"%b","signatures":[%b]}' % (
        base64.b64encode(payload),
        payload_type.encode(),
        parts,
    )


def _decode(text: bytes) -> bytes:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise TrustError("envelope-shape", "base64 写法不对。", "This is not base64 in its one spelling.") from error
    if binascii.b2a_base64(data, newline=False) != text:
        raise TrustError("envelope-shape", "base64 写法不对。", "This is not base64 in its one spelling.")
    return data

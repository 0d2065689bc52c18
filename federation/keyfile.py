"""A node's public-key file: what a college hands to its hub, by mail or on a stick, to be enrolled.

    {"name": ..., "id": ..., "fingerprint": ..., "public": "<PEM>", "envelope": "<DSSE envelope>"}

Only the envelope counts, and it is signed by the very key it names: whoever made the file holds the private key. That
the file is the college's is for people to know; they compare the fingerprint by telephone.
"""

import json
from dataclasses import dataclass

from securesystemslib.signer import Key, Signer

from federation.documents import dump_document, read_object
from federation.envelope import check_signature, check_type, read_envelope, sign
from federation.errors import InputRefused, TrustError
from federation.keys import fingerprint, public_pem, read_public_key
from federation.validation import check_schema

KEY_FILE_TYPE = "application/vnd.gonghui.node-key.v1+json"
MAX_KEY_FILE_BYTES = 65_536  # ML-DSA-87: a key of 3.6 kB, named twice, and a signature of 6.2 kB


@dataclass(frozen=True)
class KeyFile:
    """Who a node says it is, signed by its key. `url` is empty where it has no listener."""

    id: str
    name: str
    code: str
    url: str
    key: Key


def build_key_file(signer: Signer, *, node_id: str, name: str, code: str, url: str) -> bytes:
    """Return the file as JSON text for people and programs."""
    key: Key = signer.public_key
    pem = public_pem(key)
    payload = {"version": 1, "id": node_id, "name": name, "code": code, "url": url, "keyid": key.keyid, "public": pem}
    check_schema("node-key.v1", payload)
    envelope = sign(dump_document(payload), KEY_FILE_TYPE, signer).decode()
    shown = {"name": name, "id": node_id, "fingerprint": fingerprint(key), "public": pem, "envelope": envelope}
    return json.dumps(shown, ensure_ascii=False, indent=2).encode() + b"\n"


def read_key_file(data: bytes) -> KeyFile:
    """Verify and read a public-key file; raise InputRefused where it is none, TrustError where it does not hold."""
    try:
        outer = read_object(data, max_bytes=MAX_KEY_FILE_BYTES)
        pem = str(outer.get("public", ""))
        envelope = read_envelope(str(outer.get("envelope", "")).encode(), max_bytes=MAX_KEY_FILE_BYTES)
        check_type(envelope, KEY_FILE_TYPE)
        key = read_public_key(pem)
    except TrustError as error:
        raise InputRefused(
            "key-file-unreadable",
            "这不是公钥文件。请在该学院运行 gonghui peer key --out 文件。",
            "This is no public-key file. Run `gonghui peer key --out FILE` at the college.",
            reason=error.code,
        ) from error
    check_signature(envelope, key)
    payload = read_object(envelope.payload)
    check_schema("node-key.v1", payload)
    if payload["public"] != pem or payload["keyid"] != key.keyid:
        raise TrustError("key-file-mismatch", "文件中的公钥前后不一。", "The file names two different keys.")
    return KeyFile(payload["id"], payload["name"], payload["code"], payload["url"], key)


def read_fingerprint(text: str) -> str:
    """Return the 64 hex digits of a fingerprint, written whole or in groups; raise InputRefused for anything else."""
    digits = "".join(text.replace(":", " ").replace("-", " ").split()).lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise InputRefused(
            "fingerprint-misspelt",
            "指纹应为 64 位十六进制数字，可每四位分组。",
            "A fingerprint has 64 hex digits, whole or in groups of four.",
        )
    return digits

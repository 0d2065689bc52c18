"""A node's request to the officers (入会申请): to join, to change its key, to name another one in place of a lost one.

    {"name": ..., "id": ..., "fingerprint": ..., "public": "<PEM>", "envelope": "<DSSE envelope>"}

Only the envelope counts. It is signed by the very key it names: whoever made it holds the private key. A `rotate` is
signed by the present key too. That the key is the school's is for people to know; they compare the fingerprint, as
words or hex, by telephone. The public-key file of an earlier release is read as a request to join.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from securesystemslib.signer import Key, Signer

from federation.documents import dump_document, format_time, read_object, read_time
from federation.envelope import Envelope, add_signature, check_signature, check_type, read_envelope, sign, signed_by
from federation.errors import InputRefused, TrustError
from federation.keyfile import KEY_FILE_TYPE
from federation.keys import fingerprint, public_pem, read_public_key
from federation.validation import check_schema

ENROLMENT_TYPE = "application/vnd.gonghui.enrolment.v1+json"
JOIN, ROTATE, REPLACE = "join", "rotate", "replace"
MAX_REQUEST_BYTES = 32_768  # two ML-DSA signatures and a key


@dataclass(frozen=True)
class Applicant:
    """Who a node says it is. `id` is its random identifier, `code` the statistical code (901)."""

    id: str
    name: str
    code: str = ""
    url: str = ""
    transport: str = "direct"
    sealing_key: str = ""


@dataclass(frozen=True)
class EnrolmentRequest:
    """A verified request. `envelope_id` names these very bytes; `keyids` are all that have signed them."""

    kind: str
    federation: str  # "" in a file of an earlier release
    applicant: Applicant
    key: Key
    issued_at: datetime | None
    envelope: Envelope

    @property
    def envelope_id(self) -> str:
        """Return the id of what was signed."""
        return self.envelope.id

    def is_signed_by(self, key: Key) -> bool:
        """Tell whether `key` has signed too: the present key of a member that asks for a new one."""
        return signed_by(self.envelope, key)


def build_request(
    signer: Signer, applicant: Applicant, *, federation: str, kind: str, at: datetime, present: Signer | None = None
) -> bytes:
    """Return the request file, signed by the key it asks for and, with `present`, by the key that is listed now."""
    key = signer.public_key
    payload = {
        "version": 1,
        "kind": kind,
        "federation": federation,
        "issued_at": format_time(at),
        **vars(applicant),
        "keyid": key.keyid,
        "public": public_pem(key),
    }
    check_schema("enrolment.v1", payload)
    envelope = sign(dump_document(payload), ENROLMENT_TYPE, signer)
    if present is not None:
        envelope = add_signature(envelope, present)
    return write_request(applicant.name, applicant.id, key, envelope)


def write_request(name: str, node_id: str, key: Key, envelope: bytes) -> bytes:
    """Return the file around an envelope: what people compare stands in front."""
    shown = {
        "name": name,
        "id": node_id,
        "fingerprint": fingerprint(key),
        "public": public_pem(key),
        "envelope": envelope.decode(),
    }
    return json.dumps(shown, ensure_ascii=False, indent=2).encode() + b"\n"


def read_request(data: bytes) -> EnrolmentRequest:
    """Verify and read a request; raise InputRefused where it is none, TrustError where it does not hold.

    The signature is checked before anything that it covers is read.
    """
    try:
        outer = read_object(data, max_bytes=MAX_REQUEST_BYTES)
        envelope = read_envelope(str(outer.get("envelope", "")).encode(), max_bytes=MAX_REQUEST_BYTES)
        old = envelope.payload_type == KEY_FILE_TYPE
        check_type(envelope, KEY_FILE_TYPE if old else ENROLMENT_TYPE)
        key = read_public_key(str(outer.get("public", "")))
    except TrustError as error:
        raise InputRefused(
            "request-unreadable",
            "这不是入会申请文件。请在该学院运行 gonghui enrol request。",
            "This is no request to join. Run `gonghui enrol request` at the college.",
            reason=error.code,
        ) from error
    check_signature(envelope, key)
    payload = read_object(envelope.payload)
    check_schema("node-key.v1" if old else "enrolment.v1", payload)
    if payload["public"] != public_pem(key) or payload["keyid"] != key.keyid:
        raise TrustError("key-file-mismatch", "文件中的公钥前后不一。", "The file names two different keys.")
    return EnrolmentRequest(
        kind=payload.get("kind", JOIN),
        federation=payload.get("federation", ""),
        applicant=_read_applicant(payload),
        key=key,
        issued_at=None if old else read_time(payload["issued_at"]),
        envelope=envelope,
    )


def _read_applicant(payload: dict[str, Any]) -> Applicant:
    fields = {name: payload[name] for name in Applicant.__dataclass_fields__ if name in payload}
    return Applicant(**fields)

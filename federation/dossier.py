"""The signed releases of one node as anybody may hold them: verified, whole, and ready to be audited.

What is audited is only as complete as what was collected. A revision that was superseded is public all the same, so a
gap in the revisions of a subject is refused; a subject that is missing altogether cannot be noticed here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from federation.documents import read_object
from federation.envelope import RECORD_TYPE, check_type, read_envelope
from federation.errors import InputRefused, TrustError
from federation.evidence import FindMember, check_document
from federation.protection import schema_of
from federation.validation import check_schema

_KIND = "release"


@dataclass(frozen=True)
class Dossier:
    """Whose releases they are, by which keys they were signed (fingerprints), and what they say, oldest first."""

    origin: str
    fingerprints: tuple[str, ...]
    contents: tuple[Mapping[str, Any], ...]


def read_dossier(documents: Iterable[bytes], find_member: FindMember) -> Dossier:
    """Verify each document and put the releases in order; other records are passed over.

    Raise TrustError where one does not hold or is of another node, InputRefused where a revision is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    signers: dict[str, None] = {}
    for data in documents:
        envelope = read_envelope(data)
        check_type(envelope, RECORD_TYPE)
        evidence = check_document(data, find_member)
        payload = read_object(envelope.payload)
        if payload["kind"] == _KIND:
            check_schema(schema_of(payload["content"]), payload["content"])
            found[evidence.id] = payload
            signers[evidence.fingerprint] = None
    if not found:
        raise InputRefused("history-empty", "没有任何已签名的发布。", "There is no signed release here.")
    records = sorted(found.values(), key=lambda payload: (payload["issued_at"], payload["sequence"]))
    if len({payload["origin"] for payload in records}) > 1:
        raise TrustError("history-origins", "文件来自不同的节点。", "The files are of several nodes.")
    _check_revisions(records)
    return Dossier(records[0]["origin"], tuple(signers), tuple(payload["content"] for payload in records))


def _check_revisions(records: Iterable[Mapping[str, Any]]) -> None:
    revisions: dict[str, set[int]] = {}
    for payload in records:
        revisions.setdefault(payload["subject"], set()).add(payload["revision"])
    missing = [f"{subject} r{n}" for subject, held in revisions.items() for n in range(1, max(held)) if n not in held]
    if missing:
        raise InputRefused(
            "history-incomplete",
            f"缺少已发布的修订：{'、'.join(missing[:5])}。旧修订同样是公开的，请补齐再审。",
            f"Revisions that were published are missing: {', '.join(missing[:5])}. They are public too; add them.",
            missing=missing,
        )

"""The signed releases of nodes as anybody may hold them, and exact totals over them: verified, whole, to be audited.

What is audited is only as complete as what was collected. A revision that was superseded is public all the same, so a
gap in the revisions of a subject is refused; a subject that is missing altogether cannot be noticed here.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from federation.documents import read_object
from federation.envelope import RECORD_TYPE, check_type, read_envelope
from federation.errors import InputRefused, TrustError
from federation.evidence import FindMember, check_document
from federation.history import OpenedTotal
from federation.protection import schema_of
from federation.rounds import COHORT, Board, Said
from federation.rounds import KIND as SUM
from federation.rounds import SCHEMA as SUM_SCHEMA
from federation.validation import check_schema

_KIND = "release"


@dataclass(frozen=True)
class Dossier:
    """Whose releases they are, by which keys they were signed (fingerprints), and what they say, oldest first."""

    origin: str
    fingerprints: tuple[str, ...]
    contents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Collected:
    """What was collected of several nodes: a dossier each, by id, and the exact totals that they verified."""

    dossiers: tuple[Dossier, ...]
    totals: tuple[OpenedTotal, ...]


def read_collected(documents: Iterable[bytes], find_member: FindMember) -> Collected:
    """Verify each document, put each node's releases in order and read the totals; other records are passed over.

    Raise TrustError where one does not hold or one key signs for two nodes, InputRefused where a revision is missing.
    """
    found: dict[str, dict[str, Any]] = {}
    origins: dict[str, str] = {}
    for data in documents:
        envelope = read_envelope(data)
        check_type(envelope, RECORD_TYPE)
        evidence = check_document(data, find_member)
        payload = read_object(envelope.payload)
        if payload["kind"] not in {_KIND, SUM}:
            continue
        check_schema(schema_of(payload["content"]) if payload["kind"] == _KIND else SUM_SCHEMA, payload["content"])
        found[evidence.id] = payload
        if origins.setdefault(evidence.fingerprint, payload["origin"]) != payload["origin"]:
            raise TrustError("history-origins", "同一密钥为不同的节点签名。", "One key has signed for several nodes.")
    releases: dict[str, list[dict[str, Any]]] = {}
    for payload in sorted(found.values(), key=lambda payload: (payload["issued_at"], payload["sequence"])):
        if payload["kind"] == _KIND:
            releases.setdefault(payload["origin"], []).append(payload)
    if not releases:
        raise InputRefused("history-empty", "没有任何已签名的发布。", "There is no signed release here.")
    for told in releases.values():
        _check_revisions(told)
    dossiers = [
        Dossier(
            origin,
            tuple(fingerprint for fingerprint, signed in origins.items() if signed == origin),
            tuple(payload["content"] for payload in told),
        )
        for origin, told in sorted(releases.items())
    ]
    return Collected(tuple(dossiers), tuple(_read_totals(found)))


def _read_totals(found: Mapping[str, Mapping[str, Any]]) -> Iterator[OpenedTotal]:
    """Yield what both aggregators of a cohort published alike and contributors verified."""
    said: dict[str, list[Said]] = {}
    pairs: dict[str, set[tuple[str, str]]] = {}
    ordered = sorted(found.items(), key=lambda item: (item[1]["origin"], item[1]["sequence"]))
    for identity, payload in ordered:
        if payload["kind"] == SUM:
            told = payload["content"]
            said.setdefault(told["family"], []).append(Said.of(identity, payload["origin"], told))
            if told["step"] == COHORT:
                hub, second = told["body"]["aggregators"]
                pairs.setdefault(told["family"], set()).add((hub, second))
    for family, steps in sorted(said.items()):
        for hub, second in sorted(pairs.get(family, ())):
            yield from _totals_of(Board(family, hub, second, steps))


def _totals_of(board: Board) -> Iterator[OpenedTotal]:
    for period in sorted({item.period for item in board.all if item.period}):
        attempt = board.attempts(period)
        total = board.total(period, attempt) if board.is_sound(period) else None
        nodes = frozenset(board.contributors(period, attempt)) if total else frozenset()
        for cell in total["published"] if total else ():
            yield OpenedTotal(period, (cell["indicator"], cell["dims"]), int(cell["value"]), nodes)


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

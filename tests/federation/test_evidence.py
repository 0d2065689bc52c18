"""Statements, contradictions and witnesses: pure, with real keys."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from federation.documents import format_time
from federation.envelope import RECORD_TYPE, read_envelope, sign
from federation.equivocation import check_contradiction
from federation.errors import TrustError
from federation.keys import Member, new_identifier, new_private_pem, read_signer
from federation.log import extend, prove_consistency, prove_inclusion, root_of
from federation.statements import (
    Checkpoint,
    Head,
    build_checkpoint,
    build_cosignature,
    build_heads,
    open_checkpoint,
    open_heads,
)
from federation.witness import NOTHING_HELD, Inclusion, check_next, check_witnessed, leaf_entry
from schemas import schema_digest
from tests.federation.test_log import ListNodes

AT = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
FEDERATION = "f-" + "a" * 26


class Party:
    """A node with a key, and a log of its own."""

    def __init__(self) -> None:
        self.id = new_identifier("n")
        self.signer: CryptoSigner = read_signer(new_private_pem())
        self.nodes = ListNodes()
        self.size = 0

    def append(self, *record_ids: str) -> None:
        self.size = extend(self.nodes, self.size, [leaf_entry(name, b"s" * 32) for name in record_ids])

    def checkpoint(self, at: datetime = AT) -> bytes:
        root = root_of(self.nodes, self.size)
        return build_checkpoint(
            self.signer,
            origin=self.id,
            federation=FEDERATION,
            size=self.size,
            root=root,
            audit=(0, "0" * 64),
            list_version=0,
            at=at,
        )

    def record(self, sequence: int = 1, previous: str = "", revision: int = 1, **changes: Any) -> bytes:
        payload = {
            "version": 1,
            "kind": "notice",
            "origin": self.id,
            "audience": {"federation": FEDERATION, "readers": "all"},
            "stream": "all",
            "sequence": sequence,
            "previous": previous,
            "issued_at": format_time(AT),
            "schema": {"id": "notice", "version": 1, "sha256": schema_digest("notice.v1")},
            "subject": "s",
            "revision": revision,
            "supersedes": "",
            "policy": "",
            "content": {},
            **changes,
        }
        return sign(json.dumps(payload).encode(), RECORD_TYPE, self.signer)

    def heads(self, *heads: Head, stream: str = "all") -> bytes:
        return build_heads(
            self.signer,
            issuer=self.id,
            federation=FEDERATION,
            stream=stream,
            heads=heads,
            list_version=0,
            at=AT,
        )


def knows(*parties: Party, revoked: dict[str, datetime] | None = None) -> Callable[[str], Member | None]:
    members = {
        party.signer.public_key.keyid: Member(
            party.id, FEDERATION, party.signer.public_key, revoked_at=(revoked or {}).get(party.id)
        )
        for party in parties
    }
    return members.get


def id_of(envelope: bytes) -> str:
    return read_envelope(envelope).id


def code_of(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    with pytest.raises(TrustError) as refusal:
        call(*arguments, **named)
    return refusal.value.code


# --- statements


def test_a_statement_says_what_was_signed_and_nothing_else_is_believed() -> None:
    one, other = Party(), Party()
    head = Head(one.id, 3, "1" * 64)
    stated = open_heads(one.heads(head), knows(one))
    assert (stated.issuer, stated.stream, stated.heads) == (one.id, "all", (head,))
    assert code_of(open_heads, one.heads(head), knows(other)) == "key-unknown"
    assert code_of(open_heads, one.heads(head), knows(one, revoked={one.id: AT})) == "key-revoked"
    assert code_of(open_heads, one.heads(head, head), knows(one)) == "heads-double"
    assert code_of(open_heads, one.checkpoint(), knows(one)) == "type-mismatch"
    one.id = other.id
    assert code_of(open_heads, one.heads(head), _as(knows(one), id=new_identifier("n"))) == "origin-mismatch"


def _as(find: Callable[[str], Member | None], id: str) -> Callable[[str], Member | None]:  # noqa: A002
    def look_up(keyid: str) -> Member | None:
        member = find(keyid)
        return Member(id, member.federation, member.key) if member else None

    return look_up


# --- contradictions


def test_two_documents_of_one_origin_prove_a_contradiction() -> None:
    one, reader = Party(), Party()
    first = one.record(subject="a")
    second = one.record(subject="b")
    follower = one.record(2, previous=id_of(second), subject="c")
    find = knows(one, reader)
    proofs: list[tuple[bytes, bytes, str]] = [
        (first, second, "sequence"),
        (one.record(2, previous=id_of(first), subject="x"), one.record(4, previous="1" * 64, subject="x"), "revision"),
        (first, follower, "sequence"),  # what comes after names another one as its predecessor
        (first, one.heads(Head(one.id, 1, "2" * 64)), "sequence"),
        (one.heads(Head(one.id, 1, "3" * 64)), one.heads(Head(one.id, 1, "2" * 64)), "sequence"),
    ]
    for before, after, kind in proofs:
        found = check_contradiction(before, after, find)
        assert (found.origin, found.kind, found.federation) == (one.id, kind, FEDERATION)
        assert check_contradiction(after, before, find).first == found.second


def test_what_is_no_contradiction_is_no_proof() -> None:
    one, other = Party(), Party()
    find = knows(one, other)
    first = one.record(subject="a")
    for second in (
        first,
        one.record(2, previous=id_of(first), subject="b"),
        one.record(2, previous=id_of(first), subject="a", revision=2),
        one.record(stream="hub", audience={"federation": FEDERATION, "readers": "hub"}),  # two audiences may differ
        other.record(subject="b"),
        other.heads(Head(one.id, 1, "2" * 64)),  # another's word proves nothing against the origin
        one.heads(Head(one.id, 1, id_of(first))),
    ):
        assert code_of(check_contradiction, first, second, find) == "no-contradiction"
    assert code_of(check_contradiction, first, one.checkpoint(), find) == "type-mismatch"
    forged = read_envelope(other.record(subject="b"))
    claimed = forged.raw.replace(forged.keyids[0].encode(), one.signer.public_key.keyid.encode())
    assert code_of(check_contradiction, first, claimed, find) == "signature-invalid"


# --- witnesses


def _next(party: Party, held: Checkpoint | None) -> Checkpoint:
    offered = open_checkpoint(party.checkpoint(), knows(party))
    state = (held.size, held.root) if held else NOTHING_HELD
    check_next(state, offered, state[0], prove_consistency(party.nodes, state[0], offered.size))
    return offered


def test_a_witness_follows_one_branch_only() -> None:
    one = Party()
    one.append("1" * 64, "2" * 64)
    held = _next(one, None)
    one.append("3" * 64)
    held = _next(one, held)
    assert _next(one, held).size == 3  # the same again
    forked = Party()
    forked.id, forked.signer = one.id, one.signer
    forked.append("1" * 64, "2" * 64, "f" * 64)
    assert code_of(_next, forked, held) == "proof-consistency"
    forked.append("3" * 64)
    assert code_of(_next, forked, held) == "proof-consistency"
    cut = Party()
    cut.id, cut.signer = one.id, one.signer
    cut.append("1" * 64)
    offered = open_checkpoint(cut.checkpoint(), knows(cut))
    assert code_of(check_next, (held.size, held.root), offered, 3, []) == "witness-size"
    anew = replace(offered, generation=7)  # which a restored node says of itself
    check_next((held.size, held.root), anew, 0, [])
    assert code_of(check_next, (held.size, held.root), anew, 3, []) == "witness-size"
    assert code_of(check_next, (anew.size, anew.root), held, 1, [], generation=7) == "proof-consistency"


def _witnessed(
    log: Party, hub: Party, members: Sequence[Party], record: str, origin: Party, signed: Sequence[tuple[Party, int]]
) -> Any:
    documents = [log.checkpoint()]
    seen = open_checkpoint(documents[0], knows(log))
    documents += [build_cosignature(w.signer, w.id, seen, AT + timedelta(minutes=minutes)) for w, minutes in signed]
    path = tuple(prove_inclusion(log.nodes, 1, log.size))
    return check_witnessed(
        record,
        origin.id,
        Inclusion(1, b"s" * 32, path),
        documents,
        knows(*members),
        hub=hub.id,
        members={party.id for party in members},
    )


def test_a_thief_needs_every_required_witness_to_back_date() -> None:
    hub, victim, third, fourth = (Party() for _ in range(4))
    everybody = (hub, victim, third, fourth)
    record = "2" * 64
    for log in everybody:
        log.append("1" * 64, record, "3" * 64)
    late = [(hub, 60), (third, 90)]
    assert _witnessed(victim, hub, everybody, record, victim, late).at == AT + timedelta(minutes=90)
    assert _witnessed(victim, hub, everybody, record, victim, [*late, (fourth, 10)]).at == AT + timedelta(minutes=60)
    for lacking in (
        [(hub, 0)],  # the other one is lacking
        [(third, 0), (fourth, 0)],  # the hub is
        [(hub, 0), (victim, 0)],  # whoever holds the stolen key does not count
        [(victim, 0)],
    ):
        assert code_of(_witnessed, victim, hub, everybody, record, victim, lacking) == "witness-missing"
    # the hub's own log: two members, neither of them the victim
    assert _witnessed(hub, hub, everybody, record, victim, [(third, 1), (fourth, 2)]).at == AT + timedelta(minutes=2)
    for lacking in ([(third, 0), (victim, 0)], [(third, 0), (hub, 0)]):
        assert code_of(_witnessed, hub, hub, everybody, record, victim, lacking) == "witness-missing"
    # a federation of two: the hub alone
    assert _witnessed(victim, hub, (hub, victim), record, victim, [(hub, 5)]).witnesses == (hub.id,)
    assert code_of(_witnessed, victim, hub, (hub, victim), record, victim, [(victim, 5)]) == "witness-missing"


def test_a_cosignature_of_another_state_or_by_a_revoked_key_does_not_count() -> None:
    hub, victim = Party(), Party()
    victim.append("1" * 64)
    early = open_checkpoint(victim.checkpoint(), knows(victim))
    victim.append("2" * 64)
    documents = [victim.checkpoint(), build_cosignature(hub.signer, hub.id, early, AT)]
    inclusion = Inclusion(1, b"s" * 32, tuple(prove_inclusion(victim.nodes, 1, 2)))
    where: dict[str, Any] = {"hub": hub.id, "members": {hub.id, victim.id}}
    find = knows(hub, victim, revoked={victim.id: AT})
    assert code_of(check_witnessed, "2" * 64, victim.id, inclusion, documents, find, **where) == "witness-mismatch"
    now = open_checkpoint(documents[0], find)
    documents[1] = build_cosignature(hub.signer, hub.id, now, AT)
    assert check_witnessed("2" * 64, victim.id, inclusion, documents, find, **where).at == AT
    assert code_of(check_witnessed, "1" * 64, victim.id, inclusion, documents, find, **where) == "proof-inclusion"
    find = knows(hub, victim, revoked={hub.id: AT})
    assert code_of(check_witnessed, "2" * 64, victim.id, inclusion, documents, find, **where) == "witness-missing"

"""A refusal stands in for a record only until that comes itself, and never for a record of the reader's own."""

import pytest
from sqlmodel import select

from federation.acceptance import Verdict
from federation.documents import dump_document, format_time
from federation.envelope import RECEIPT_TYPE, read_envelope, sign
from federation.equivocation import check_contradiction, claims_of
from federation.errors import TrustError
from federation.evidence import check_evidence, read_key_file, write_evidence
from federation.grants import NO_GRANT
from federation.keys import Member, public_pem
from node.audit.models import AuditEntry
from node.context import Node
from node.exchange.heads import take_statement
from node.exchange.inbox import PULL
from node.stream.models import Equivocation
from node.stream.service import find_member, get_federation

from .conftest import World

WRONG = "cd" * 32


def refuse(
    world: World, by: Node, origin: str, stream: str, sequence: int, record_id: str, code: str = "sample-refused"
) -> bytes:
    """Return what `by` signs against the record of this id and place."""
    named = {"id": record_id, "origin": origin, "stream": stream, "sequence": sequence}
    payload = {
        "version": 1,
        "issuer": by.node_id,
        "federation": world.federation,
        "record": named,
        "verdict": "quarantined",
        "code": code,
        "issued_at": format_time(world.clock()),
    }
    return sign(dump_document(payload), RECEIPT_TYPE, by.signer)


def test_a_refusal_that_names_another_record_blocks_nothing_and_blames_nobody(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    records = [world.append(origin, n) for n in (1, 2, 3)]
    world.receive(reader, refuse(world, world.hub, origin.node_id, "all", 1, WRONG), PULL)
    verdicts = [world.receive(reader, record.envelope, PULL).verdict for record in records]
    assert verdicts == [Verdict.ACCEPTED] * 3
    with reader.database.read() as session:
        assert session.exec(select(Equivocation)).all() == []
        told = session.exec(select(AuditEntry.subject).where(AuditEntry.action == "refusal.untrue")).all()
    assert told == [world.hub.node_id]


def test_what_follows_an_untrue_refusal_goes_on_by_its_own_previous(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    first, second, third = (world.append(origin, n) for n in (1, 2, 3))
    lie = refuse(world, world.hub, origin.node_id, "all", 1, third.id)  # the id of a later record
    world.receive(reader, lie, PULL)
    assert world.receive(reader, second.envelope, PULL).verdict is Verdict.ACCEPTED
    assert world.receive(reader, third.envelope, PULL).verdict is Verdict.ACCEPTED
    assert world.states(reader)[0] == (1, "placeholder", "sample-refused")
    assert world.receive(reader, first.envelope, PULL).verdict is Verdict.ACCEPTED
    assert {(sequence, state) for sequence, state, _ in world.states(reader)} == {(n, "current") for n in (1, 2, 3)}


def test_two_records_at_a_place_that_a_refusal_held_are_a_contradiction(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    first, second = world.append(origin, 1), world.append(origin, 2)
    world.receive(reader, refuse(world, world.hub, origin.node_id, "all", 1, first.id), PULL)
    world.receive(reader, second.envelope, PULL)
    other = world.forge(origin, first.envelope, content={"n": 7})
    assert world.receive(reader, other, PULL).code == "previous-mismatch"
    with reader.database.read() as session:
        proof = session.exec(select(Equivocation)).one()
    assert {proof.first_envelope, proof.envelope} == {second.envelope, other}


def test_nobody_stands_in_for_a_record_of_our_own(world: World) -> None:
    victim = world.add_college()
    first = world.append(victim, 1)
    outcome = world.receive(victim, refuse(world, world.hub, victim.node_id, "all", 2, WRONG), PULL)
    assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, "origin-mismatch")
    second = world.append(victim, 2)
    assert (second.sequence, second.previous) == (2, first.id)


def test_nobody_stands_in_where_we_are_no_reader(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    outcome = world.receive(reader, refuse(world, world.hub, origin.node_id, "hub", 1, WRONG), PULL)
    assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, "audience-mismatch")


def test_an_origin_gets_its_own_record_and_never_our_refusal(world: World) -> None:
    origin = world.add_college()
    bad = world.append(origin, 1, refuse=True)
    assert world.push(origin, bad.envelope).body["results"][0]["code"] == "sample-refused"
    wanted = {"origin": origin.node_id, "stream": "all", "first": 1, "last": 1}
    assert [item.raw for item in world.ask(origin, "missing", wanted).enclosed] == [bad.envelope]


def test_a_later_revision_names_no_record_of_another_stream(world: World) -> None:
    """Else anybody could leap to the last revision there is, by naming something that nobody can read."""
    one, other = world.add_college(), world.add_college()
    hidden = refuse(world, other, other.node_id, "all", 1, WRONG, code="grant-missing")  # its own word
    assert world.receive(world.hub, hidden).verdict is Verdict.QUARANTINED
    base = world.append(one, 1, subject="s").envelope
    world.receive(world.hub, base)
    leap = world.forge(one, base, sequence=2, previous=read_envelope(base).id, revision=2**53 - 1, supersedes=WRONG)
    assert world.receive(world.hub, leap).code == "revision-skips"


@pytest.mark.parametrize("first", ["record", "refusal", "another refusal"])
def test_an_origins_own_refusal_of_another_record_is_a_contradiction(world: World, first: str) -> None:
    liar, reader, third = world.add_college(), world.add_college(), world.add_college()
    for node in (reader, third):
        world.introduce(node, liar)
    record = world.append(liar, 1)
    refusals = [refuse(world, liar, liar.node_id, "all", 1, wrong, NO_GRANT) for wrong in (WRONG, "ab" * 32)]
    documents = {
        "record": [record.envelope, refusals[0]],
        "refusal": [refusals[0], record.envelope],
        "another refusal": refusals,
    }[first]
    outcomes = [world.receive(reader, document, PULL) for document in documents]
    assert outcomes[1].code == "equivocation"
    assert "current" not in {state for _, state, _ in world.states(reader)}
    with reader.database.read() as session:
        proof = session.exec(select(Equivocation)).one()
        federation = get_federation(session, reader)

        def look_up(keyid: str) -> Member | None:
            return find_member(session, reader, federation, keyid)

        shown = check_contradiction(proof.first_envelope, proof.envelope, look_up)
    assert {proof.first_envelope, proof.envelope} == set(documents)
    assert (shown.origin, shown.what) == (liar.node_id, "1")
    bare = read_key_file(public_pem(liar.signer.public_key))  # a third person, off line
    assert check_evidence(write_evidence("equivocation", documents), bare) == shown
    with third.database.write() as session:  # and both halves travel on
        codes = [take_statement(session, third, document, world.handlers) for document in documents]
    assert codes[-1] == "equivocation"


def test_the_hubs_refusal_proves_nothing_against_an_origin(world: World) -> None:
    origin, reader = world.add_college(), world.add_college()
    world.introduce(reader, origin)
    record = world.append(origin, 1)
    world.receive(reader, record.envelope, PULL)
    refusal = refuse(world, world.hub, origin.node_id, "all", 1, WRONG)
    assert world.receive(reader, refusal, PULL).verdict is Verdict.DUPLICATE
    assert world.states(reader) == [(1, "current", "")]
    with pytest.raises(TrustError, match="origin-mismatch"):
        claims_of(refusal, lambda _: Member(world.hub.node_id, world.federation, world.hub.signer.public_key))

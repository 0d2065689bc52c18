"""Lies between nodes: forks found when two readers' statements meet, logs witnessed, keys revoked at a time."""

import json
from dataclasses import replace

import pytest
from fastapi import FastAPI
from sqlmodel import delete, select, update

from federation.envelope import HEADS_TYPE, RECORD_TYPE, read_envelope, sign
from federation.equivocation import Contradiction, check_contradiction
from federation.errors import TrustError
from federation.evidence import check_evidence, read_key_file
from federation.keys import Member, new_identifier, public_pem
from federation.statements import Head, build_heads, open_checkpoint
from federation.witness import check_audit
from node.access.permissions import SYSTEM, Actor
from node.audit import write_audit
from node.audit.models import AuditEntry
from node.context import Node
from node.db import Counter
from node.exchange.alarms import evidence_status, export_evidence
from node.exchange.api import router
from node.exchange.heads import exchange_heads, state_heads, stated_in
from node.exchange.inbox import PULL
from node.exchange.links import link_to
from node.stream.models import Cosigned, Equivocation, HeadClaim, LogNode, OwnCheckpoint, StoredRecord, WitnessedLog
from node.stream.service import find_member, get_federation
from tests.sync.conftest import Net


def _meet(net: Net, caller: Node, other: Node) -> None:
    """Let `caller` speak with `other` directly, without the hub."""
    host = f"c-{other.node_id[2:8]}"
    for one, two in ((caller, other), (other, caller)):
        with one.database.read() as session:
            known = find_member(session, one, get_federation(session, one), two.signer.public_key.keyid)
        if known is None:
            net.world.introduce(one, two)
    net.address(other, caller, "")
    if host not in net.apps:
        app = _app(net, other)
        net.apps[host] = app
    with net.connect(caller, f"http://{host}") as client:
        provider = Member(other.node_id, net.world.federation, other.signer.public_key)
        link = link_to(caller, client, provider)
        state_heads(caller)
        stated = stated_in(link.ask("ping", {}, at=caller.clock()).body)
        assert stated is not None
        exchange_heads(caller, link, net.world.handlers, stated=stated)


def _app(net: Net, node: Node) -> FastAPI:
    app = FastAPI()
    app.include_router(router)
    app.state.node, app.state.handlers = node, net.world.handlers
    return app


def _branch(net: Net, origin: Node, base: bytes, count: int) -> list[bytes]:
    """Return another branch of the stream: `count` records that start in the place of `base`."""
    branch: list[bytes] = []
    payload = json.loads(read_envelope(base).payload)
    for n in range(count):
        previous = read_envelope(branch[-1]).id if branch else payload["previous"]
        changes = {"sequence": payload["sequence"] + n, "previous": previous, "subject": f"x{n}", "revision": 1}
        changes |= {"supersedes": "", "content": {"n": 100 + n}}
        branch.append(sign(json.dumps({**payload, **changes}).encode(), RECORD_TYPE, origin.signer))
    return branch


def _proofs(node: Node) -> list[Equivocation]:
    with node.database.read() as session:
        return list(session.exec(select(Equivocation)).all())


def _check_proofs(net: Net, node: Node, origin: Node) -> None:
    """Every proof that a node keeps holds before a third person who knows the origin's key."""
    member = Member(origin.node_id, net.world.federation, origin.signer.public_key)
    found = [proof for proof in _proofs(node) if proof.origin == origin.node_id]
    assert found
    for proof in found:
        assert check_contradiction(proof.first_envelope, proof.envelope, lambda _: member).origin == origin.node_id


def _current(node: Node, origin: Node) -> list[int]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all()
    return sorted(row.sequence for row in rows if row.state == "current")


def _triangle(net: Net) -> tuple[Node, Node, Node]:
    """An origin and two readers who know each other's keys."""
    origin, one, two = net.college(), net.college(), net.college()
    for reader in (one, two):
        net.world.introduce(reader, origin)
    return origin, one, two


def test_a_fork_by_the_origin_alone_is_found_when_the_readers_statements_meet(net: Net) -> None:
    origin, one, two = _triangle(net)
    records = [net.world.append(origin, n).envelope for n in range(6)]
    forked = _branch(net, origin, records[2], 3)
    for envelope in records:
        net.world.receive(one, envelope, PULL)
    for envelope in [*records[:2], *forked]:
        net.world.receive(two, envelope, PULL)
    assert _current(two, origin) == [1, 2, 3, 4, 5]
    assert not _proofs(one)
    _meet(net, one, two)
    _check_proofs(net, one, origin)
    assert _current(one, origin) == [1, 2, 6], "nothing from the fork on up to where the other branch goes"
    _meet(net, one, two)  # the proof is sent on
    _check_proofs(net, two, origin)
    assert _current(two, origin) == [1, 2]
    officer = Actor("a-1", "officer", "officer")
    file = export_evidence(two, officer, _proofs(two)[0].id)
    shown = check_evidence(file, read_key_file(public_pem(origin.signer.public_key)))  # a third person, off line
    assert isinstance(shown, Contradiction)
    assert (shown.origin, shown.kind) == (origin.node_id, "sequence")
    with pytest.raises(TrustError, match="key-unknown"):
        check_evidence(file, read_key_file(public_pem(one.signer.public_key)))
    assert len(evidence_status(two, officer)["contradictions"]) == len(_proofs(two))


def test_a_fork_that_the_hub_helps_to_hide_is_found_at_the_first_direct_contact(net: Net) -> None:
    origin, one, two = _triangle(net)
    hub = net.world.hub
    records = [net.world.append(origin, n).envelope for n in range(4)]
    forked = _branch(net, origin, records[1], 2)
    for envelope in records:
        net.world.receive(hub, envelope)
    net.run(one)
    # the hub shows another branch to the second reader, and no statement of the first
    for envelope in [records[0], *forked]:
        net.world.receive(two, envelope, PULL)
    assert _current(one, origin) == [1, 2, 3, 4]
    assert not _proofs(two)
    _meet(net, two, one)
    _check_proofs(net, two, origin)
    assert _current(two, origin) == [1]
    _meet(net, two, one)
    _check_proofs(net, one, origin)
    assert not {2, 3} & set(_current(one, origin))


def test_an_origins_own_statement_against_a_record_is_proof_enough(net: Net) -> None:
    origin, one, two = _triangle(net)
    first = net.world.append(origin, 1).envelope
    other = _branch(net, origin, first, 1)[0]
    net.world.receive(one, other, PULL)
    _meet(net, one, origin)
    _check_proofs(net, one, origin)
    kinds = {read_envelope(proof.envelope).payload_type for proof in _proofs(one)}
    assert kinds == {HEADS_TYPE, RECORD_TYPE}, "its statement, and the record that it shows when it is asked"
    assert _current(one, origin) == []
    _meet(net, two, one)  # who has neither is shown both, and believes neither
    _check_proofs(net, two, origin)
    assert _current(two, origin) == []


def test_a_withheld_head_shows_as_the_origins_last_statement(net: Net) -> None:
    origin, one, _ = _triangle(net)
    records = [net.world.append(origin, n).envelope for n in range(3)]
    net.world.receive(one, records[0], PULL)
    _meet(net, origin, one)
    with one.database.read() as session:
        claim = session.exec(select(HeadClaim).where(HeadClaim.issuer == origin.node_id)).one()
    assert (claim.sequence, claim.issued_at) == (3, net.world.clock())
    assert _current(one, origin) == [1]
    _meet(net, one, origin)
    assert _current(one, origin) == [1, 2, 3], "it is asked for what it says it has"


def test_statements_are_shown_to_readers_only_and_once(net: Net) -> None:
    origin, one, _ = _triangle(net)
    hub = net.world.hub
    net.world.append(origin, 1, stream="hub")
    net.world.append(origin, 1)
    net.run(origin)
    with hub.database.read() as session:
        told = session.exec(select(HeadClaim.stream).where(HeadClaim.issuer == origin.node_id)).all()
    assert set(told) == {"all", "hub"}
    net.run(one)
    with one.database.read() as session:
        claims = session.exec(select(HeadClaim).where(HeadClaim.origin == origin.node_id)).all()
    assert {(claim.issuer, claim.stream) for claim in claims} == {
        (one.node_id, "all"), (hub.node_id, "all"), (origin.node_id, "all")
    }  # fmt: skip


def test_logs_are_witnessed_by_the_hub_and_another_member(net: Net) -> None:
    one, two, _ = _triangle(net)
    hub = net.world.hub
    net.world.append(one, 1)
    for _ in range(2):
        net.run(one)
        net.run(two)
    net.run(one)
    with one.database.read() as session:
        witnesses = {row.witness for row in session.exec(select(Cosigned).where(Cosigned.origin == one.node_id))}
    assert {hub.node_id, two.node_id} <= witnesses
    with hub.database.read() as session:
        rows = session.exec(select(Cosigned).where(Cosigned.origin == hub.node_id)).all()
    assert len({row.witness for row in rows}) >= 2


def test_a_witness_refuses_a_log_that_was_forked_or_cut(net: Net) -> None:
    one = net.college()
    hub = net.world.hub
    for n in range(3):
        net.world.append(one, n)
    net.run(one)
    with hub.database.read() as session:
        held = session.get_one(WitnessedLog, (net.world.federation, one.node_id))
    with one.database.write() as session:  # another past of equal length
        session.execute(update(LogNode).values(hash=b"x" * 32))
    net.world.append(one, 9)
    net.world.clock.forward(hours=2)
    net.run(one)
    with hub.database.read() as session:
        assert session.get_one(WitnessedLog, (net.world.federation, one.node_id)).root == held.root
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "witness.refuse")).first()
    assert entry is not None
    assert (entry.subject, entry.result) == (one.node_id, "proof-consistency")


def test_a_witness_refuses_an_audit_trail_that_was_cut_and_says_so(net: Net) -> None:
    one, hub = net.college(), net.world.hub
    net.world.append(one, 1)
    with one.database.write() as session:
        for _ in range(30):
            write_audit(session, account_id="a-1", action="user.role", subject="a-2", at=one.clock())
    net.run(one)
    key = (net.world.federation, one.node_id)
    with hub.database.read() as session:
        held = session.get_one(WitnessedLog, key)
        earlier = open_checkpoint(
            held.checkpoint, lambda keyid: find_member(session, hub, get_federation(session, hub), keyid)
        )
    with one.database.write() as session:  # who has the disk takes the end away
        session.execute(delete(AuditEntry))
        session.get_one(Counter, "audit").value = 0
    net.world.append(one, 2)
    net.world.clock.forward(hours=2)
    net.run(one)
    with hub.database.read() as session:
        assert session.get_one(WitnessedLog, key).audit_size == held.audit_size > 30
        entry = session.exec(select(AuditEntry).where(AuditEntry.action == "witness.refuse")).one()
    assert (entry.subject, entry.result) == (one.node_id, "audit-cut")
    told = evidence_status(hub, SYSTEM)["logs"]
    assert [(row["origin"], row["code"]) for row in told] == [(one.node_id, "audit-cut")]
    check_audit(earlier.audit_size, earlier.audit_head, replace(earlier, audit_size=earlier.audit_size + 1))
    with pytest.raises(TrustError, match="audit-cut"):  # of the same length, with another end
        check_audit(earlier.audit_size, earlier.audit_head, replace(earlier, audit_head="ab" * 32))


def test_what_is_said_of_nobodys_streams_is_not_kept(net: Net) -> None:
    liar, world = net.college(), net.world
    net.run(liar)
    said = [Head(new_identifier("n"), 9, "ab" * 32) for _ in range(50)] + [Head(liar.node_id, 9, "ab" * 32)]
    statement = build_heads(
        liar.signer,
        issuer=liar.node_id,
        federation=world.federation,
        stream="all",
        heads=said,
        list_version=0,
        at=world.clock(),
    )
    world.ask(liar, "heads", {"cursor": 0}, [statement])
    with world.hub.database.read() as session:
        claims = session.exec(select(HeadClaim.origin).where(HeadClaim.issuer == liar.node_id)).all()
    assert set(claims) <= {liar.node_id, world.hub.node_id}
    assert liar.node_id in claims


def test_a_checkpoint_that_only_comes_late_is_no_alarm(net: Net) -> None:
    one, hub = net.college(), net.world.hub
    net.world.append(one, 1)
    net.run(one)
    with one.database.read() as session:
        late = session.exec(select(OwnCheckpoint)).one()
    with one.database.write() as session:
        write_audit(session, account_id="a-1", action="user.role", subject="a-2", at=one.clock())
    net.world.clock.forward(days=2)
    net.run(one)
    asks = [{"witness": hub.node_id, "old_size": late.size, "path": []}]
    with hub.database.write() as session:  # as if it had not been cosigned before
        session.execute(delete(Cosigned))
    answer = net.world.ask(one, "witness", {"asks": asks, "held": 0}, [late.envelope])
    assert answer.body["code"] == "witness-size"
    assert evidence_status(hub, SYSTEM)["logs"] == []

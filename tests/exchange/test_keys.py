"""Several keys of one member: both speak while it is rotated; a retired or revoked one asks for nothing new."""

from dataclasses import replace
from datetime import timedelta

import pytest

from federation.acceptance import Verdict
from federation.keys import new_private_pem, public_pem, read_signer
from node.context import Node
from node.stream.models import Peer, PeerKey
from node.stream.peers import member_of
from tests.exchange.conftest import START, World


def _list_key(world: World, college: Node, pem: str, keyid: str, status: str = "active") -> None:
    with world.hub.database.write() as session:
        session.merge(
            PeerKey(
                federation=world.federation,
                keyid=keyid,
                peer_id=college.node_id,
                public_key=pem,
                status=status,
                revoked_at=START - timedelta(days=1) if status == "revoked" else None,
            )
        )


@pytest.fixture
def two_keys(world: World) -> tuple[Node, Node]:
    """Give one college as it speaks with its old key and with its new one; the hub lists both."""
    old = world.add_college()
    new = replace(old, signer=read_signer(new_private_pem()))
    for node in (old, new):
        key = node.signer.public_key
        _list_key(world, old, public_pem(key), key.keyid)
    return old, new


def test_both_keys_of_a_member_speak_while_it_is_rotated(world: World, two_keys: tuple[Node, Node]) -> None:
    for node in two_keys:
        assert world.ask(node, "ping", {}).body["time"]
    old, new = two_keys
    assert world.push(old, world.append(old, 1).envelope).body["results"][0]["verdict"] == "accepted"
    assert world.push(new, world.append(new, 2).envelope).body["results"][0]["verdict"] == "accepted"
    with world.hub.database.read() as session:
        member = member_of(session, session.get_one(Peer, (world.federation, old.node_id)), world.clock())
    assert {key.keyid for key in member.keys} == {node.signer.public_key.keyid for node in two_keys}


@pytest.mark.parametrize("status", ["retired", "revoked"])
def test_a_key_that_has_ended_asks_for_nothing(world: World, two_keys: tuple[Node, Node], status: str) -> None:
    old, new = two_keys
    key = old.signer.public_key
    record = world.append(old, 1)
    _list_key(world, old, public_pem(key), key.keyid, status)
    refused = world.post("ping", b"[" + world.request(old, "ping", {}) + b"]")
    assert (refused.status_code, refused.json()["code"]) == (403, f"key-{status}")
    if status == "retired":  # what it signed in its time stands
        assert world.receive(world.hub, record.envelope).verdict is Verdict.ACCEPTED
    assert world.ask(new, "ping", {}).body["time"]


def test_a_listed_key_whose_id_is_not_its_own_is_nobodys(world: World, two_keys: tuple[Node, Node]) -> None:
    old, new = two_keys
    _list_key(world, old, public_pem(new.signer.public_key), old.signer.public_key.keyid)
    assert world.post("ping", b"[" + world.request(old, "ping", {}) + b"]").json()["code"] == "key-unknown"

"""The stick on screen: out, looked at, in; and a dead letter with its reason, sent again by a person."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlmodel import Session, select

from federation.keys import public_pem
from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange.bundles import export_bundle
from node.exchange.membership import publish_members
from node.stream.models import Federation, OutboxItem, Peer
from node.stream.outbox import refuse_item
from node.stream.service import get_federation
from tests.web.conftest import Browser, forms_of

Open = Callable[..., Browser]


def _introduce(session: Session, federation: str, other: Node, *, is_hub: bool) -> None:
    key = other.signer.public_key
    session.add(
        Peer(
            federation=federation,
            id=other.node_id,
            name="某学院",
            public_key=public_pem(key),
            keyid=key.keyid,
            is_hub=is_hub,
        )
    )


@pytest.fixture
def college(node: Node, make_node: Callable[..., Node]) -> Node:
    made = replace(make_node("某学院"), clock=node.clock)
    with node.database.write() as session:
        federation = get_federation(session, node).id
        _introduce(session, federation, made, is_hub=False)
    with made.database.write() as session:
        session.add(Federation(id=federation, name="联合体", hub_id=node.node_id, joined_at=made.clock()))
        session.flush()
        _introduce(session, federation, node, is_hub=True)
    return made


def test_a_bundle_goes_out_is_looked_at_and_comes_in(open_browser: Open, node: Node, college: Node) -> None:
    browser = open_browser("admin")
    got = browser.send(browser.get("/sticks"), "/sticks/export", to=college.node_id)
    assert got.headers["content-type"] == "application/octet-stream"
    assert ".bundle" in got.headers["content-disposition"]
    assert got.content.startswith(b'[{"payload":"')
    data = b"".join(export_bundle(college, SYSTEM, node.node_id).parts())
    files = {"file": ("x.bundle", data)}
    form = browser.get("/sticks?lang=en")
    looked = browser.send(form, "/sticks/look", files=files)
    assert "not taken in yet" in looked.text
    assert "某学院" in looked.text
    with node.database.read() as session:
        federation = get_federation(session, node).id
        assert session.get_one(Peer, (federation, college.node_id)).last_success_at is None
    csrf = {"csrf": forms_of(form)[-1].fields["csrf"]}
    taken = browser.client.post("/sticks/import", data=csrf, files=files)
    assert "Taken in" in taken.text
    with node.database.read() as session:
        assert session.get_one(Peer, (federation, college.node_id)).last_success_at is not None
    spoilt = browser.send(form, "/sticks/look", files={"file": ("x.bundle", data[:-20])})
    assert spoilt.status_code >= 400
    assert "cut off" in spoilt.text


def test_a_dead_letter_is_explained_and_sent_again(open_browser: Open, node: Node, college: Node) -> None:
    with node.database.write() as session:
        record = publish_members(session, node, get_federation(session, node))
        assert record is not None
        item = OutboxItem(record_id=record.id, peer_id=college.node_id, updated_at=node.clock())
        session.add(item)
        session.flush()
        refuse_item(item, "previous-mismatch", node.clock())
        session.add(item)
    browser = open_browser("admin")
    page = browser.get("/sticks?lang=en")
    assert "Member list" in page.text
    assert "Nothing." not in page.text
    again = browser.follow(browser.send(page, "/sticks/retry"))
    assert "It goes again" in again.text
    with node.database.read() as session:
        assert [item.state for item in session.exec(select(OutboxItem)).all()] == ["waiting"]
    assert "/sticks/retry" not in open_browser("viewer").get("/sticks").text

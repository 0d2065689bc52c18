"""Pages of a node that is in several federations: one is chosen and stays so, and a trouble in the other is seen."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from federation.keys import new_identifier, public_pem
from node.context import Node
from node.stream.models import Federation, Peer
from tests.web.conftest import Browser, forms_of, heading

Open = Callable[..., Browser]


@pytest.fixture
def nation(node: Node, make_node: Callable[..., Node]) -> str:
    """Let the hub be a member of the nation's federation, whose hub was not met for a week."""
    other = make_node("全国")
    federation = new_identifier("f")
    with node.database.write() as session:
        session.add(Federation(id=federation, name="全国联合体", hub_id=other.node_id, joined_at=node.clock()))
        session.add(
            Peer(
                federation=federation,
                id=other.node_id,
                name="全国汇总",
                url="http://nation",
                public_key=public_pem(other.signer.public_key),
                keyid=other.signer.public_key.keyid,
                is_hub=True,
                last_success_at=node.clock() - timedelta(days=7),
            )
        )
    return federation


def _choices(text: str) -> dict[str, str]:
    found = re.search(r'<nav class="parents.*?</nav>', text, re.DOTALL)
    return dict(re.findall(r'<a href="\?federation=([^"]+)"[^>]*>([^<]+)</a>', found[0])) if found else {}


def test_where_there_is_one_there_is_nothing_to_choose(open_browser: Open) -> None:
    admin = open_browser("admin")
    for path in ("/peers", "/sync", "/indicators"):
        assert _choices(admin.get(path).text) == {}


def test_a_federation_is_chosen_once_and_stays_chosen(open_browser: Open, nation: str) -> None:
    admin = open_browser("admin")
    page = admin.get("/peers")
    assert heading(page) == "联合体", "its own, whose hub it is, unless somebody chose"
    assert set(_choices(page.text).values()) == {"联合体", "全国联合体"}
    chosen = admin.get(f"/peers?federation={nation}")
    assert heading(chosen) == "全国联合体"
    assert "全国汇总" in admin.get("/peers").text
    assert 'aria-current="true">全国联合体' in admin.get("/sync").text
    assert "/peers/join" in [form.action for form in forms_of(chosen)]
    assert heading(admin.get("/peers?federation=f-unknown")) == "全国联合体"
    assert admin.get("/matrix").status_code == 200, "the board of reports is its own in any case"


def test_a_trouble_in_the_other_federation_stands_on_the_home_page(open_browser: Open, nation: str) -> None:
    text = open_browser("admin").get("/").text
    assert "全国联合体：已有 7 天没有成功同步" in text
    assert f"/sync?federation={nation}" in text


def test_programs_say_which_federation_they_mean(open_browser: Open, nation: str) -> None:
    client = open_browser().client
    token = {"Authorization": "Bearer admin-token"}
    refused = client.get("/api/v1/peers", headers=token)
    assert (refused.status_code, refused.json()["code"]) == (409, "federation-ambiguous")
    rows = client.get(f"/api/v1/peers?federation={nation}", headers=token).json()
    assert [row["name"] for row in rows] == ["全国汇总"]

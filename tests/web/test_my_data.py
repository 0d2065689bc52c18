"""What staff may read without an account: what is held about them, what leaves, whom to ask."""

from collections.abc import Callable
from dataclasses import replace

from node.context import Node
from node.members.held import list_held
from tests.web.conftest import Browser


def test_staff_read_what_is_held_of_them_without_an_account(node: Node, open_browser: Callable[..., Browser]) -> None:
    stranger = open_browser("")
    assert 'href="/my-data"' in stranger.get("/sign-in").text
    page = stranger.get("/my-data")
    assert page.status_code == 200
    assert [held.name.zh for held in list_held() if held.name.zh not in page.text] == []
    assert "本校工会办公室" in page.text
    assert "What about me leaves this school?" in stranger.get("/my-data?lang=en").text
    assert node.settings.privacy.contact == ""


def test_it_names_whom_the_configuration_names(node: Node) -> None:
    from node.app import create_app

    privacy = node.settings.privacy.model_copy(update={"contact": "王老师 8001", "minimum_cell": 9})
    told = replace(node, settings=node.settings.model_copy(update={"privacy": privacy}))
    page = Browser(told, create_app(told)).get("/my-data").text
    assert "王老师 8001" in page
    assert "少于 9 人" in " ".join(page.split())

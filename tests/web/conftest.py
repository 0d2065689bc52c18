"""A browser without a screen: cookies, forms as the page gives them, redirects followed by hand."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher

from federation.keys import new_identifier
from node.access import passwords
from node.access.models import Account
from node.access.permissions import ROLES
from node.access.service import digest_of
from node.app import create_app
from node.context import Node
from node.stream.models import Federation
from tests.access.conftest import PASSWORD, Turn
from tests.transport import AppTransport


@dataclass
class FormFound:
    """One form of a page: where it goes, and the fields it would send as it stands."""

    action: str
    fields: dict[str, Any]


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[FormFound] = []
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append(FormFound(given.get("action", ""), {}))
        if not self.forms:
            return
        fields, name = self.forms[-1].fields, given.get("name", "")
        if tag == "input" and name:
            self._take(fields, name, given)
        elif tag in {"select", "textarea"}:
            self._select = name
            fields.setdefault(name, "")
        elif tag == "option" and (not fields[self._select] or "selected" in given):
            fields[self._select] = given.get("value", "")

    @staticmethod
    def _take(fields: dict[str, Any], name: str, given: dict[str, str]) -> None:
        value = given.get("value", "")
        if given.get("type") in {"radio", "checkbox"} and "checked" not in given:
            return
        if given.get("type") == "hidden" and name in fields:
            held = fields[name]
            fields[name] = [*held, value] if isinstance(held, list) else [held, value]
            return
        fields[name] = value


def forms_of(page: httpx.Response) -> list[FormFound]:
    """Return the forms of a page."""
    reader = _Forms()
    reader.feed(page.text)
    return reader.forms


class Browser:
    """Somebody at a browser."""

    def __init__(self, node: Node, app: Any, base_url: str = "http://node") -> None:
        self.node = node
        self.client = httpx.Client(transport=AppTransport(app), base_url=base_url)

    def get(self, path: str) -> httpx.Response:
        return self.client.get(path)

    def send(self, page: httpx.Response, action: str, files: Any = None, **typed: Any) -> httpx.Response:
        """Send the page's form that goes to `action`, with what was typed."""
        form = next(form for form in forms_of(page) if form.action == action)
        if files is None and "file" in form.fields:
            del form.fields["file"]
        data = {name: value for name, value in form.fields.items() if not files or name not in files}
        return self.client.post(action or page.url.path, data={**data, **typed}, files=files)

    def follow(self, answer: httpx.Response) -> httpx.Response:
        assert answer.status_code == 303, answer.text[-1500:]
        return self.get(answer.headers["location"])

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        return self.send(self.get("/sign-in"), "/sign-in", name=name, password=password)


def heading(page: httpx.Response) -> str:
    """Return the first heading of a page."""
    found = re.search(r"<h1>(.*?)</h1>", page.text, re.DOTALL)
    return found[1].strip() if found else ""


@pytest.fixture
def turn() -> Turn:
    return Turn()


@pytest.fixture
def node(make_node: Callable[..., Node], turn: Turn, monkeypatch: pytest.MonkeyPatch) -> Node:
    """Give a hub with an account of every role; each has the same password, and the role's name as its name."""
    from dataclasses import replace

    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    passwords._nobodys_hash.cache_clear()
    node = replace(make_node("测试大学", hub={"enabled": True}, intake={"max_bytes": 1_000_000}), clock=turn)
    stored = quick.hash(PASSWORD)
    with node.database.write() as session:
        for role in ROLES:
            session.add(
                Account(
                    id=f"a-{role}",
                    name=role,
                    role=role,
                    password_hash=stored,
                    token_digest=digest_of(f"{role}-token"),
                    created_at=turn(),
                )
            )
        session.add(Federation(id=new_identifier("f"), name="联合体", hub_id=node.node_id, joined_at=turn()))
    return node


@pytest.fixture
def open_browser(node: Node) -> Iterator[Callable[..., Browser]]:
    """Open browsers before the node; `role` is signed in."""
    app = create_app(node)
    opened: list[Browser] = []

    def start(role: str = "", **options: Any) -> Browser:
        browser = Browser(node, app, **options)
        opened.append(browser)
        if role:
            assert browser.sign_in(role).status_code == 303
        return browser

    yield start
    for browser in opened:
        browser.client.close()

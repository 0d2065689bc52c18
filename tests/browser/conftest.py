"""Real Chromium before a real `gonghui serve`. Without Chromium these tests skip and say how to get it.

GONGHUI_SCREENSHOTS=DIR keeps the pictures that tests take with `snap`.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from sqlmodel import select

from node.access import accounts, passwords
from node.access.models import Account
from node.access.permissions import ADMIN, Actor
from node.access.setup import SETUP_PATH
from node.context import Node, open_node
from node.founding import found_node
from tests.cli.conftest import Served, serve  # noqa: F401  a fixture

PASSWORD = "correct-horse-battery"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PROGRAM = os.environ.get("GONGHUI_CHROMIUM", "") or shutil.which("chromium") or shutil.which("chromium-browser") or ""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the browser of the machine; nothing is downloaded."""
    if not PROGRAM:
        pytest.skip("no Chromium: run `apt-get install chromium fonts-noto-cjk`, or name it in GONGHUI_CHROMIUM")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=PROGRAM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@dataclass
class Site:
    """A running node with people, and what its pages asked for or complained about."""

    url: str
    node: Node
    browser: Browser
    setup_link: str
    hosts: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def open(self, name: str = "", size: dict[str, int] | None = None, **options: Any) -> Page:
        """Open a page of a new visitor; `name` is signed in."""
        context = self.browser.new_context(viewport=size or DESKTOP, locale="zh-CN", **options)  # type: ignore[arg-type]
        page = context.new_page()
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc or "data"))
        page.on("console", lambda message: self._complain(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        if name:
            page.goto(self.url + "/sign-in")
            page.fill("input[name=name]", name)
            page.fill("input[name=password]", PASSWORD)
            page.click("main button")
        return page

    def _complain(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and "Failed to load resource" not in text:
            self.complaints.append(text)


def found_site(
    folder: Path,
    chromium: Browser,
    serve: Callable[..., Served],  # noqa: F811
    values: dict[str, object],
    people: dict[str, str],
) -> Site:
    """Found and serve a node with these people (name to role); its first administrator's password is unset."""
    hub = bool(values.get("hub.enabled"))
    made = found_node(
        folder, {"sync.enabled": False, **values}, admin="it", federation_name="全省院校工会联合体" if hub else ""
    )
    node = open_node(made.config)
    with node.database.read() as session:
        admin = Actor(session.exec(select(Account)).one().id, "it", ADMIN)
    for name, role in people.items():
        _, link = accounts.add_account(node, admin, name, role)
        passwords.redeem_setup_link(node, link.removeprefix(SETUP_PATH), PASSWORD)
    served = serve(made.config)
    return Site(served.url, node, chromium, served.url + SETUP_PATH + made.setup_link.rpartition("/")[2])


def close_site(site: Site) -> None:
    """Close it, and assert that its pages asked no other host and that nothing was refused or failed in script."""
    for context in site.browser.contexts:
        context.close()
    site.node.database.close()
    assert site.hosts <= {urlsplit(site.url).netloc, "data"}, "no page asks another host"
    assert not site.complaints, "nothing was refused by the policy, nothing failed in script"


@pytest.fixture
def site(tmp_path: Path, chromium: Browser, serve: Callable[..., Served]) -> Iterator[Site]:  # noqa: F811
    """Serve a hub with one account of each role but the first administrator's password unset."""
    values = {"node.name": "某某职业技术学院", "hub.enabled": True}
    people = {"zhang": "officer", "li": "approver", "sun": "analyst", "gao": "admin"}
    site = found_site(tmp_path / "n", chromium, serve, values, people)
    yield site
    close_site(site)


def check_width(page: Page) -> None:
    """Assert that the page does not scroll sideways."""
    width, room = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= room, page.url


def snap(page: Page, name: str) -> None:
    """Keep a picture of the whole page where pictures are wanted."""
    folder = os.environ.get("GONGHUI_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)

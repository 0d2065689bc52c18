"""What holds for every page: headers, languages, escaping, errors as pages to people and as problems to programs."""

import re
from collections.abc import Callable
from dataclasses import replace
from importlib.resources import files

import pytest

from node.access.models import Account
from node.access.permissions import Actor
from node.activities import service
from node.activities.draft import Draft
from node.context import Node
from node.web.pages import CONTENT_SECURITY
from tests.web.conftest import Browser, heading

Open = Callable[..., Browser]
SCRIPT = "<script>alert(1)</script>\"'&"
PAGES = {
    "admin": ("/", "/users", "/peers", "/sync", "/sticks", "/quarantine", "/audit", "/settings"),
    "officer": ("/", "/imports", "/imports/new", "/notices", "/notices/new", "/records", "/totals"),
}


def test_every_page_carries_the_headers(open_browser: Open) -> None:
    browser = open_browser("admin")
    answers = [browser.get(path) for path in ("/", "/users", "/nowhere", "/imports", "/static/app.css", "/static/x")]
    answers += [open_browser().get(path) for path in ("/", "/sign-in", "/setup/x", "/nowhere")]
    for answer in answers:
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY
        assert answer.headers["x-content-type-options"] == "nosniff"
        if "/static/app" not in str(answer.url):
            assert answer.headers.get("cache-control", "no-store") == "no-store"
    assert "immutable" in browser.get("/static/app.js").headers["cache-control"]
    assert "unsafe" not in CONTENT_SECURITY
    assert "http" not in CONTENT_SECURITY


def test_templates_have_nothing_the_policy_forbids() -> None:
    for name in files("node.web").joinpath("templates").iterdir():
        text = name.read_text(encoding="utf-8")
        assert not re.search(r"\son[a-z]+=|\sstyle=|<style|<script>|https?://(?!hub\.example)", text), name.name
        assert "|safe" not in text.replace(" ", ""), name.name


def test_every_post_form_carries_the_token() -> None:
    for name in files("node.web").joinpath("templates").iterdir():
        text = name.read_text(encoding="utf-8")
        for form in re.findall(r'<form method="post".*?</form>', text, re.DOTALL):
            assert 'name="csrf"' in form, name.name
        assert "<form>" not in text, name.name


@pytest.mark.parametrize("role", PAGES)
def test_pages_speak_both_languages_and_remember_the_choice(open_browser: Open, role: str) -> None:
    browser = open_browser(role)
    for path in PAGES[role]:
        chinese = browser.get(path).text
        assert '<html lang="zh-CN">' in chinese
        english = browser.get(f"{path}?lang=en").text
        assert '<html lang="en">' in english
        english = re.sub(r'<(strong|span) lang="zh-CN">.*?</\1>', "", english)  # words read over the telephone
        rest = english.replace("中文", "").replace("测试大学", "").replace("联合体", "")
        assert not re.findall(r"[\u4e00-\u9fff]+", rest), path
        assert '<html lang="en">' in browser.get(path).text, "the cookie keeps it"
        browser.get(f"{path}?lang=zh")
    assert '<html lang="zh-CN">' in browser.get("/?lang=xx").text


def test_errors_are_pages_to_people_and_problems_to_programs(open_browser: Open) -> None:
    browser = open_browser("viewer")
    page = browser.get("/nowhere/at-all")
    assert (page.status_code, heading(page)) == (404, "没有完成")
    page = browser.get("/users?lang=en")
    assert (page.status_code, heading(page)) == (403, "That did not work")
    assert browser.get("/sign-out").status_code == 405
    for path in ("/api/v1/nowhere", "/exchange/v1/nowhere"):
        assert browser.get(path).json()["code"] == "address-unknown"
    assert browser.get("/notices/n-x/e-x").status_code == 404


def test_what_fails_inside_says_nothing_of_it(
    open_browser: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    browser = open_browser("viewer")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("张三")

    monkeypatch.setattr("node.activities.service.list_notices", fail)
    page = browser.get("/notices")
    assert (page.status_code, "internal" in page.text) == (500, True)
    assert "张三" not in page.text + caplog.text
    assert "RuntimeError" in caplog.text


def test_names_are_shown_as_text(open_browser: Open, node: Node) -> None:
    with node.database.write() as session:
        session.add(Account(id="a-bad", name=SCRIPT, role="viewer", created_at=node.clock()))
    draft = Draft(SCRIPT, SCRIPT, "2030-12-12T14:00", "2030-12-12T17:00", who=SCRIPT, details=SCRIPT, contact=SCRIPT)
    notice = service.publish(node, Actor("a-officer", "officer", "officer"), draft)
    service.update(node, Actor("a-officer", "officer", "officer"), notice.id, replace(draft, note=SCRIPT))
    admin, officer = open_browser("admin"), open_browser("officer")
    roster = f"工号,姓名,{SCRIPT.replace(',', '')}\n1,{SCRIPT},x\n"
    page = officer.get("/imports/new")
    staged = officer.send(page, "/imports", files={"file": (f"{SCRIPT}.csv", roster.encode())}, source=SCRIPT)
    shown = officer.follow(staged)
    assert shown.status_code == 200
    for answer in (
        admin.get("/users"),
        admin.get("/"),
        officer.get("/imports"),
        shown,
        officer.get("/notices"),
        officer.get(f"/notices/{node.node_id}/{notice.id}"),
        officer.get(f"/notices/{notice.id}/edit"),
        officer.get("/records"),
    ):
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert(1)" in shown.text


def test_an_unknown_done_says_nothing(open_browser: Open) -> None:
    browser = open_browser("viewer")
    assert "你好" not in browser.get("/?done=你好").text
    assert "同步已开始" in browser.get("/?done=sync-started").text

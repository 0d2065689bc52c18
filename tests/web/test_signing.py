"""Sign-in on screen: cookies, forms that must be ours, the throttle, the set-up link, and where one lands."""

import re
from collections.abc import Callable

import httpx
import pytest

from node.access import accounts
from node.access.permissions import ADMIN, Actor
from node.context import Node
from node.web.pages import local_path
from tests.access.conftest import PASSWORD, Turn
from tests.web.conftest import Browser, forms_of, heading

Open = Callable[..., Browser]


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    return {line.partition("=")[0]: line.partition(";")[2] for line in answer.headers.get_list("set-cookie")}


def test_a_page_leads_to_the_sign_in_and_back(open_browser: Open) -> None:
    browser = open_browser()
    answer = browser.get("/notices?past=yes")
    assert answer.status_code == 303
    page = browser.follow(answer)
    assert heading(page) == "登录"
    landed = browser.send(page, "/sign-in", name="viewer", password=PASSWORD)
    assert landed.headers["location"] == "/notices?past=yes"
    assert heading(browser.follow(landed)) == "活动通知"
    assert browser.get("/sign-in").headers["location"] == "/"


@pytest.mark.parametrize(
    "target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "", "/a\nb", "evil"]
)
def test_the_sign_in_leads_nowhere_else(open_browser: Open, target: str) -> None:
    assert local_path(target) == "/"
    browser = open_browser()
    page = browser.get("/sign-in")
    assert browser.send(page, "/sign-in", name="viewer", password=PASSWORD, next=target).headers["location"] == "/"


def test_cookies_are_strict_and_of_this_node_alone(open_browser: Open, node: Node) -> None:
    browser = open_browser()
    (name, flags), *_ = cookies_of(browser.get("/sign-in")).items()
    assert name == f"gonghui_form_{node.node_id[2:10]}"
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {flag.strip() for flag in flags.split(";")}
    signed = browser.sign_in("viewer")
    flags = cookies_of(signed)[f"gonghui_session_{node.node_id[2:10]}"]
    assert {"HttpOnly", "SameSite=strict"} <= {flag.strip() for flag in flags.split(";")}
    assert "Secure" not in flags
    assert "Max-Age" not in flags
    safe = open_browser(base_url="https://node")
    flags = cookies_of(safe.sign_in("viewer"))[f"__Host-gonghui_session_{node.node_id[2:10]}"]
    assert "Secure" in flags
    assert safe.get("/").status_code == 200


def test_sign_out_ends_the_session(open_browser: Open) -> None:
    browser = open_browser("viewer")
    stolen = dict(browser.client.cookies)
    assert "已退出" in browser.follow(browser.send(browser.get("/"), "/sign-out")).text
    browser.client.cookies.update(stolen)
    assert browser.get("/").status_code == 303


def test_idle_sessions_end(open_browser: Open, turn: Turn) -> None:
    browser = open_browser("viewer")
    turn.on(1799)
    assert browser.get("/").status_code == 200
    turn.on(1801)
    assert browser.get("/").status_code == 303


def test_the_throttle_shows_and_tells_when(open_browser: Open) -> None:
    browser = open_browser()
    for _ in range(5):
        failed = browser.sign_in("officer", "wrong")
        assert (failed.status_code, "账号或密码不对" in failed.text) == (401, True)
        assert "wrong" not in failed.text
    locked = browser.sign_in("officer")
    assert locked.status_code == 429
    assert "15 分钟后再试" in locked.text


def test_a_form_that_is_not_ours_changes_nothing(open_browser: Open, node: Node) -> None:
    browser = open_browser("admin")
    page = browser.get("/users")
    token = next(form for form in forms_of(page) if form.action == "/users").fields["csrf"]
    fields = {"name": "mallory", "role": "admin"}
    other = open_browser("officer")
    theirs = re.findall(r'name="csrf" value="([^"]+)"', other.get("/").text)[0]
    for csrf in ("", "guess", theirs, token + "x", "é"):
        refused = browser.client.post("/users", data={**fields, "csrf": csrf})
        assert (refused.status_code, "form-expired" in refused.text) == (403, True)
    assert browser.client.post("/users", json={**fields, "csrf": token}).status_code == 403
    assert len(accounts.list_accounts(node, Actor("a-admin", "admin", ADMIN))) == 5
    guest = open_browser()
    assert guest.client.post("/sign-in", data={"name": "viewer", "password": PASSWORD}).status_code == 403
    assert browser.client.post("/users", data={**fields, "csrf": token}).status_code == 200


def test_the_set_up_link_sets_a_password_once(open_browser: Open, node: Node) -> None:
    admin = Actor("a-admin", "admin", ADMIN)
    _, link = accounts.add_account(node, admin, "zhang", "officer")
    browser = open_browser()
    page = browser.get(link)
    assert "zhang" in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert "两次输入的密码不同" in browser.send(page, "", password=PASSWORD, again="another one").text
    assert "至少" in browser.send(page, "", password="short", again="short").text
    done = browser.send(page, "", password=PASSWORD, again=PASSWORD)
    assert "密码已设置" in browser.follow(done).text
    assert browser.sign_in("zhang").status_code == 303
    again = open_browser().get(link)
    assert (again.status_code, "setup-link-void" in again.text) == (403, True)


def test_nobody_signed_in_sends_no_file(open_browser: Open) -> None:
    browser = open_browser()
    page = browser.get("/sign-in")
    refused = browser.send(page, "/sign-in", name="x" * 1_500_000)
    assert refused.status_code == 413

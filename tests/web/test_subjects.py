"""Events, sync, peers, quarantine, records, accounts: each page does what its command does."""

import re
import time
from collections.abc import Callable

import httpx
import pytest
from icalendar import Calendar
from sqlmodel import select

from federation.enrolment import Applicant, build_request
from federation.errors import Text
from federation.keys import new_identifier, new_private_pem, read_signer
from federation.spoken import spoken
from node.access import accounts
from node.access.permissions import Actor
from node.context import Node
from node.exchange import desk
from node.exchange.membership import publish_members_if_hub
from node.exchange.sync import OK, PeerResult
from node.stream.models import Federation
from node.web.rounds import Rounds
from node.web.settings import _shown
from tests.web.conftest import Browser, forms_of, heading

Open = Callable[..., Browser]
EVENT = {
    "title": "羽毛球赛",
    "kind": "sports",
    "place": "体育馆",
    "starts": "2030-12-12T14:00",
    "ends": "2030-12-12T17:00",
    "seats": "60",
}


def secret_of(page: httpx.Response) -> str:
    return str(re.findall(r'<code class="secret">([^<]+)</code>', page.text)[0])


def test_an_event_is_previewed_published_changed_and_cancelled(open_browser: Open) -> None:
    officer, viewer = open_browser("officer"), open_browser("viewer")
    empty = officer.get("/notices/new")
    bad = officer.send(empty, "/notices/new", **{**EVENT, "ends": "2030-12-12T13:00", "seats": "-1"})
    assert (bad.status_code, bad.text.count('aria-invalid="true"')) == (422, 2)
    assert 'value="羽毛球赛"' in bad.text, "what was typed is kept"
    look = officer.send(bad, "/notices/new", **EVENT)
    assert heading(look) == "预览"
    assert "没有活动" in viewer.get("/notices").text, "a preview publishes nothing"
    listed = officer.follow(officer.send(look, "/notices/new"))
    assert "羽毛球赛" in listed.text
    assert "羽毛球赛" in officer.get("/records").text, "a record is named by what it is about"
    path = re.findall(r'href="(/notices/n-[^"]+)"', viewer.get("/").text)[0]
    assert "修改" not in viewer.get(path).text
    edit = re.findall(r'href="(/notices/[^"]+/edit)"', officer.get(path).text)[0]
    form = officer.get(edit)
    look = officer.send(form, edit, place="图书馆", note="换了地方")
    stale = officer.send(form, edit, place="操场")
    assert "图书馆" in officer.follow(officer.send(look, edit)).text
    lost = officer.send(stale, edit)
    assert (lost.status_code, "notice-changed" in lost.text) == (409, True)
    cancelled = officer.send(officer.get(path), edit.replace("/edit", "/cancel"), note="天气")
    page = officer.follow(cancelled)
    assert "已取消" in page.text
    assert "天气" in page.text
    assert 'class="state bad"' in viewer.get("/notices").text


def test_the_calendar_address_is_shown_once_and_works(open_browser: Open) -> None:
    officer = open_browser("officer")
    look = officer.send(officer.get("/notices/new"), "/notices/new", **EVENT)
    officer.send(look, "/notices/new")
    viewer = open_browser("viewer")
    url = secret_of(viewer.send(viewer.get("/notices"), "/notices/feed"))
    assert url.startswith("http://node/calendar/")
    answer = open_browser().client.get(url)
    assert [str(event["SUMMARY"]) for event in Calendar.from_ical(answer.content).events] == ["羽毛球赛"]
    page = viewer.get("/notices")
    assert url not in page.text
    revoke = [form for form in forms_of(page) if form.action == "/notices/feed"][1]
    viewer.client.post("/notices/feed", data=revoke.fields)
    assert open_browser().client.get(url).status_code == 404


def test_a_round_runs_beside_the_page(open_browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    admin = open_browser("admin")
    held: list[bool] = []

    def slow(*_: object, on_result: Callable[[PeerResult], None], **__: object) -> None:
        on_result(PeerResult("n-1", "某学院", OK, delivered=3, text=Text("好", "fine")))
        while not held:
            time.sleep(0.01)

    monkeypatch.setattr("node.web.rounds.run_now", slow)
    page = admin.get("/sync")
    running = admin.follow(admin.send(page, "/sync/run"))
    assert 'http-equiv="refresh"' in running.text
    assert "正在同步" in running.text
    admin.send(page, "/sync/run")
    held.append(True)
    for _ in range(200):
        page = admin.get("/sync")
        if 'http-equiv="refresh"' not in page.text:
            break
        time.sleep(0.01)
    assert "某学院" in page.text
    assert 'http-equiv="refresh"' not in page.text


def test_a_round_that_fails_is_told(open_browser: Open, node: Node) -> None:
    rounds = Rounds()
    assert rounds.start(node, Actor("a-admin", "admin", "admin"), {}, "n-nobody")
    for _ in range(200):
        if not rounds.running:
            break
        time.sleep(0.01)
    assert rounds.error is not None
    assert rounds.error.code == "peer-unknown"


def test_a_hub_shows_how_to_create_its_federation_and_what_waits(open_browser: Open, node: Node) -> None:
    admin = open_browser("admin")
    assert "gonghui federation create" in admin.get("/peers").text
    applicant = Applicant(new_identifier("n"), "某学院")
    with node.database.read() as session:
        federation = session.exec(select(Federation)).one()
    signer = read_signer(new_private_pem())
    file = build_request(signer, applicant, federation=federation.id, kind="join", at=node.clock())
    assert desk.receive_request(node, file)["state"] == "pending"
    page = admin.get("/peers").text
    assert "某学院" in page
    assert applicant.id in page
    assert spoken(signer.public_key.keyid) in page
    assert node.node_id.encode() in admin.get("/peers/key").content
    assert admin.get("/peers/anchor").status_code == 409
    publish_members_if_hub(node)
    records = open_browser("analyst").get("/records")
    href = re.findall(r'href="(/records/[0-9a-f]{64})"', records.text)[0]
    assert open_browser("analyst").get(href).json()["payloadType"]


def test_joining_says_what_is_wrong(open_browser: Open, node: Node) -> None:
    with node.database.write() as session:
        session.delete(session.exec(select(Federation)).one())
    admin = open_browser("admin")
    page = admin.get("/peers")
    assert "加入联合体" in page.text
    refused = admin.send(page, "/peers/join", files={"file": ("anchor.json", b"{}")})
    assert (refused.status_code, "信任锚" in refused.text) == (422, True)
    assert "还没有加入联合体" in admin.get("/").text


def test_accounts_on_screen(open_browser: Open, node: Node) -> None:
    admin = open_browser("admin")
    page = admin.get("/users")
    added = admin.send(page, "/users", name="zhang", role="officer")
    link = secret_of(added)
    assert link.startswith("http://node/setup/")
    assert "账号名为" in admin.send(page, "/users", name="<b>", role="officer").text
    page = admin.get("/users")
    account = next(
        item for item in accounts.list_accounts(node, Actor("a-admin", "a", "admin")) if item.name == "zhang"
    )
    base = f"/users/{account.id}"
    assert secret_of(admin.send(page, f"{base}/link")) != link
    token = secret_of(admin.send(page, f"{base}/token"))
    headers = {"Authorization": f"Bearer {token}"}
    assert admin.client.get("/api/v1/imports", headers=headers).status_code == 200
    assert "角色已更改" in admin.follow(admin.send(page, f"{base}/role", role="viewer")).text
    assert "账号已停用" in admin.follow(admin.send(page, f"{base}/active")).text
    assert admin.client.get("/api/v1/imports", headers=headers).status_code == 401
    last = admin.send(page, "/users/a-admin/active")
    assert (last.status_code, "last-admin" in last.text) == (409, True)


def test_settings_show_what_is_changed_and_no_password(open_browser: Open, node: Node) -> None:
    admin = open_browser("admin")
    page = admin.get("/settings")
    assert re.search(r"hub\.enabled</code></td><td[^>]*><strong>True</strong>", page.text)
    assert node.node_id in page.text
    assert _shown("database.url", "postgresql+psycopg://u:topsecret@host/db") == "postgresql+psycopg://u:***@host/db"
    assert "topsecret" not in _shown("exchange.proxy", "http://me:topsecret@proxy:3128")

"""The API for scripts: who asks, who may, one shape of refusal, and the services behind it."""

import httpx
import pytest
from jsonschema import Draft202012Validator
from sqlmodel import select

import schemas
from federation.keyfile import read_key_file
from node.access.permissions import ROLES
from node.exchange.membership import publish_members_if_hub
from node.members.models import PersonFact
from tests.http.conftest import ROSTER, Api

EVENT = {
    "title": "羽毛球赛",
    "place": "体育馆",
    "starts": "2030-12-12T14:00",
    "ends": "2030-12-12T17:00",
    "kind": "文体",
}


def check_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    Draft202012Validator(schemas.load_schema("problem.v1")).validate(answer.json())
    assert answer.json()["title_zh"] != answer.json()["title"]


def test_401_for_nobody_403_for_somebody_who_may_not(api: Api) -> None:
    answer = api("", "GET", "/users")
    check_problem(answer, 401, "token-missing")
    assert answer.headers["www-authenticate"] == "Bearer"
    check_problem(api("guess", "GET", "/users"), 401, "token-unknown")
    for scheme in ("Basic admin-token", "Bearer", "Bearer ", "admin-token"):
        answer = api.client.get("/api/v1/users", headers={"Authorization": scheme})
        check_problem(answer, 401, "token-missing")
    for role in ROLES:
        if role == "admin":
            assert api(role, "GET", "/users").status_code == 200
        else:
            check_problem(api(role, "GET", "/users"), 403, "not-permitted")


@pytest.mark.parametrize(
    ("path", "options", "status", "code"),
    [
        ("/users", {"json": {"name": "张三丰的秘密"}}, 422, "request-invalid"),
        ("/users", {"json": {"name": "x", "role": "viewer", "password": "张三丰的秘密"}}, 422, "request-invalid"),
        ("/users", {"content": b'{"name": "\xe5\xbc\xa0'}, 422, "request-invalid"),
        ("/users", {"json": {"name": "张三丰的秘密 b", "role": "viewer"}}, 422, "account-name"),
        ("/users/a-none", {"json": {}}, 404, "account-unknown"),
        ("/nowhere/张三丰的秘密", {}, 404, "address-unknown"),
        ("/imports", {"data": {"as_of": "张三丰的秘密", "complete": "true"}}, 422, "request-invalid"),
        (
            "/imports",
            {"content": b"--x\r\n", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            422,
            "request-invalid",
        ),
    ],
)
def test_every_refusal_is_a_problem_and_echoes_nothing(
    api: Api, path: str, options: dict[str, object], status: int, code: str
) -> None:
    headers = {"Authorization": "Bearer admin-token", **dict(options.pop("headers", {}))}  # type: ignore[call-overload]
    answer = api.client.post("/api/v1" + path, headers=headers, **options)  # type: ignore[arg-type]
    check_problem(answer, status, code)
    assert "秘密" not in answer.text
    check_problem(api.client.put("/api/v1/users"), 405, "method-not-allowed")


def test_what_fails_inside_says_nothing_of_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("张三")

    monkeypatch.setattr("node.access.accounts.list_accounts", fail)
    check_problem(api("admin", "GET", "/users"), 500, "internal")
    assert "RuntimeError at test_api.py:" in caplog.text
    assert "张三" not in caplog.text


def test_accounts(api: Api) -> None:
    added = api("admin", "POST", "/users", json={"name": "zhang", "role": "officer"})
    assert added.status_code == 201
    assert added.json()["setup_path"].startswith("/setup/")
    path = f"/users/{added.json()['id']}"
    token = api("admin", "POST", path + "/token").json()["token"]
    headers = {"Authorization": f"bearer {token}"}
    assert api.client.get("/api/v1/imports", headers=headers).status_code == 200
    assert api("admin", "POST", path, json={"role": "viewer"}).json()["role"] == "viewer"
    assert api.client.get("/api/v1/imports", headers=headers).status_code == 403
    assert api("admin", "POST", path, json={"active": False}).json()["active"] is False
    assert api.client.get("/api/v1/imports", headers=headers).status_code == 401
    assert api("admin", "POST", path + "/link").json()["setup_path"] != added.json()["setup_path"]
    check_problem(api("admin", "POST", "/users/a-admin", json={"active": False}), 409, "last-admin")


def test_a_roster_in_and_out_again(api: Api) -> None:
    shown = api.upload("officer")
    assert shown.status_code == 201
    assert shown.json()["counts"]["new"] == 12
    path = f"/imports/{shown.json()['import']}"
    assert api("officer", "GET", path).json() == shown.json()
    known_at = shown.json()["known_at"]
    check_problem(
        api("officer", "POST", path + "/confirm", json={"known_at": known_at + 1}), 409, "data-changed-meanwhile"
    )
    done = api("officer", "POST", path + "/confirm", json={"known_at": known_at})
    assert done.json() == {"import": shown.json()["import"], "number": 1, "counts": shown.json()["counts"], "left": 0}
    check_problem(api("officer", "POST", path + "/confirm", json={"known_at": 1}), 409, "import-not-staged")
    half = api.upload("officer", "\n".join(ROSTER.splitlines()[:8]))
    assert half.json()["counts"]["absent"] == 5
    path = f"/imports/{half.json()['import']}/confirm"
    assert (
        api("officer", "POST", path, json={"known_at": 1, "leavers": "confirm", "leave_reason": "RETIRE"}).json()[
            "left"
        ]
        == 5
    )
    listed = api("officer", "GET", "/imports").json()
    assert [(item["state"], item["number"]) for item in listed] == [("confirmed", 2), ("confirmed", 1)]
    check_problem(api("officer", "POST", f"/imports/{listed[1]['import']}/undo"), 409, "later-change-stands")
    assert api("officer", "POST", f"/imports/{listed[0]['import']}/undo").json()["state"] == "undone"
    with api.node.database.read() as session:
        names = [fact.name for fact in session.exec(select(PersonFact)).all()]
    assert len(names) == 12
    assert not [text for text in api.said for name in names if name in text], "no person in an answer"


def test_unknown_columns_are_asked_about(api: Api) -> None:
    shown = api.upload("officer", "工号,性别,编号二\n1,0,x\n2,1,y\n")
    check_problem(shown, 422, "gender-bare-digits")
    assert api("officer", "GET", "/imports").json()[0]["state"] == "discarded"
    shown = api.upload("officer", "工号,姓名,编号二\n1,甲,x\n2,乙,y\n")
    path = f"/imports/{shown.json()['import']}"
    assert shown.json()["unknown_columns"] == ["编号二"]
    check_problem(api("officer", "POST", path + "/confirm", json={"known_at": 0}), 422, "columns-unknown")
    check_problem(
        api("officer", "POST", path + "/answers", json={"columns": {"编号二": "nonsense"}}), 400, "column-misspelt"
    )
    again = api("officer", "POST", path + "/answers", json={"columns": {"编号二": "drop"}})
    assert again.json()["unknown_columns"] == []
    assert again.json()["dropped_columns"] == ["编号二"]
    assert api("officer", "POST", path + "/discard").json()["state"] == "discarded"


def test_a_file_too_large_is_refused_early(api: Api) -> None:
    check_problem(api.upload("officer", b"x" * 1_500_000), 413, "file-too-large")
    check_problem(api.upload("officer", b"x" * 3_000_000), 413, "file-too-large")
    headers = {"Authorization": "Bearer officer-token", "content-type": "multipart/form-data; boundary=x"}
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'

    def unannounced() -> "object":
        yield head
        for _ in range(40):
            yield b"x" * 65_536

    answer = api.client.post("/api/v1/imports", headers=headers, content=unannounced())  # type: ignore[arg-type]
    check_problem(answer, 413, "file-too-large")


def test_notices(api: Api) -> None:
    made = api("officer", "POST", "/notices", json=EVENT)
    assert (made.status_code, made.json()["kind"], made.json()["revision"]) == (201, "sports", 1)
    path = f"/notices/{made.json()['id']}"
    check_problem(
        api("officer", "POST", "/notices", json={**EVENT, "ends": "2030-12-12T13:00"}), 422, "notice-incomplete"
    )
    check_problem(api("officer", "POST", path, json={**EVENT, "revision": 2}), 409, "notice-changed")
    moved = api("officer", "POST", path, json={**EVENT, "place": "图书馆", "revision": 1})
    assert (moved.json()["place"], moved.json()["revision"]) == ("图书馆", 2)
    assert api("officer", "POST", path + "/cancel", json={"note": "天气"}).json()["state"] == "cancelled"
    assert [item["state"] for item in api("viewer", "GET", "/notices").json()] == ["cancelled"]
    check_problem(api("viewer", "POST", "/notices", json=EVENT), 403, "not-permitted")


def test_peers_and_sync(api: Api) -> None:
    assert api("viewer", "GET", "/peers").json() == []
    assert api.node.node_id in read_key_file(api("admin", "GET", "/peers/key").content).id
    check_problem(api("admin", "POST", "/join", files={"file": ("anchor.json", b"{}")}), 422, "anchor-unreadable")
    check_problem(api("viewer", "GET", "/federation/anchor"), 409, "federation-unsigned")
    publish_members_if_hub(api.node)
    assert api("admin", "POST", "/sync/run", json={}).json() == []
    assert api("viewer", "GET", "/sync").json()["hub"] is True
    assert api("officer", "GET", "/sync/quarantine").json() == []
    record = api("analyst", "GET", "/records").json()[0]
    assert record["kind"] == "member-list"
    assert api("analyst", "GET", f"/records/{record['id']}").json()["payloadType"]
    check_problem(api("analyst", "GET", "/records/ffff"), 404, "record-unknown")
    assert api("viewer", "GET", "/join/requests").json() == []

"""Releases over HTTP: the same service, the same rules, nothing inner in the answers."""

from tests.http.conftest import Api
from tests.releases.conftest import roster_text


def test_prepare_look_and_approve(api: Api) -> None:
    shown = api.upload("officer", roster_text(40), as_of="2025-09-30").json()
    confirmed = {"known_at": shown["known_at"]}
    assert api("officer", "POST", f"/imports/{shown['import']}/confirm", json=confirmed).status_code == 200
    made = api("officer", "POST", "/releases", json={"period": "2025U"})
    assert made.status_code == 201
    release = made.json()
    path = f"/releases/{release['id']}"
    digests = [flow["digest"] for flow in release["dataflows"]]
    assert [item["id"] for item in api("approver", "GET", "/releases").json()] == [release["id"]]
    shown = api("approver", "GET", path).json()
    assert shown["dataflows"][0]["withheld"] == len(shown["dataflows"][0]["withheld_cells"]) > 0
    assert api("officer", "POST", f"{path}/approve", json={"digests": digests}).json()["code"] == "not-permitted"
    wrong = api("approver", "POST", f"{path}/approve", json={"digests": digests[:-1]})
    assert (wrong.status_code, wrong.json()["code"]) == (409, "digests-differ")
    signed = api("approver", "POST", f"{path}/approve", json={"digests": digests}).json()
    assert {item["subject"] for item in signed} == {f"{flow['dataflow']}/2025U" for flow in release["dataflows"]}
    assert api("approver", "GET", path).json()["state"] == "approved"


def test_refusals_have_their_codes(api: Api) -> None:
    for period, code in (("2025", "period-local"), ("x", "period-unknown"), ("2025U", "nothing-to-release")):
        said = api("officer", "POST", "/releases", json={"period": period})
        assert (said.status_code, said.json()["code"]) == (422, code)
    assert api("officer", "POST", "/releases", json={"period": "2025U", "secret": 1}).status_code == 422
    assert api("officer", "GET", "/releases/r-none").json()["code"] == "release-unknown"
    assert api("", "GET", "/releases").status_code == 401
    assert api("viewer", "GET", "/releases").status_code == 403

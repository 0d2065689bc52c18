"""`gonghui notice` as a script uses it."""

from pathlib import Path

from icalendar import Calendar

from node.access.models import Account
from node.access.service import digest_of
from node.clock import now
from node.context import open_node
from node.founding import found_node
from tests.cli.conftest import Gonghui


def test_from_publication_to_calendar(gonghui: Gonghui, tmp_path: Path) -> None:
    made = found_node(tmp_path / "n", {"hub.enabled": True, "node.name": "省工会"}, admin="admin")
    node = open_node(made.config)
    with node.database.write() as session:
        session.add(Account(id="a", name="officer", role="officer", token_digest=digest_of("t"), created_at=now()))
    node.database.close()
    token = tmp_path / "token"
    token.write_text("t", encoding="utf-8")
    before = ("--config", made.config, "--token-file", token)
    when = ("--starts", "2030-12-12T14:00", "--ends", "2030-12-12T17:00")
    said = gonghui(
        *before, "notice", "publish", "--title", "羽毛球赛", "--kind", "文体", "--place", "体育馆", *when, "--json"
    )
    assert said.code == 0, said.error
    assert (said.json["state"], said.json["kind"], said.json["zone"]) == ("published", "sports", "Asia/Shanghai")
    notice = said.json["id"]
    said = gonghui(*before, "notice", "update", notice, "--place", "图书馆", "--json")
    assert (said.json["place"], said.json["title"], said.json["revision"]) == ("图书馆", "羽毛球赛", 2)
    assert gonghui(*before, "notice", "update", notice, "--ends", "2030-12-12T13:00").code == 3
    assert gonghui(*before, "notice", "cancel", notice, "--note", "天气").code == 0
    assert gonghui(*before, "notice", "cancel", notice).code == 7
    said = gonghui(*before, "notice", "list", "--json")
    assert [(item["state"], item["note"], item["office"]) for item in said.json["notices"]] == [
        ("cancelled", "天气", "省工会")
    ]
    assert "羽毛球赛" in gonghui(*before, "notice", "list").out
    out = tmp_path / "events.ics"
    assert gonghui(*before, "notice", "calendar", "--out", out).code == 0
    assert len(Calendar.from_ical(out.read_bytes()).walk("VEVENT")) == 1
    said = gonghui(*before, "notice", "feed", "--json")
    assert said.json["url"].startswith("http://127.0.0.1:8650/calendar/")
    admin = ("--config", made.config, "--token-file", made.token_file)
    assert gonghui(*admin, "notice", "publish", "--title", "a", "--place", "b", *when).code == 4

"""A college in two federations releases once: the same bytes go to each whose grants ask for them."""

from dataclasses import replace
from datetime import date

import pytest
from argon2 import PasswordHasher
from sqlmodel import col, select

from federation.errors import Conflict, NotPermitted
from federation.grants import NODES, write_grants
from federation.keys import new_identifier
from node.access import passwords
from node.access.models import Account
from node.activities import service as notices
from node.activities.draft import Draft
from node.activities.models import Notice
from node.app import create_app
from node.handlers import HANDLERS
from node.indicators import release as service
from node.indicators.models import Release
from node.stream import recovery
from node.stream.listed import keep_listed
from node.stream.models import Federation, StoredRecord
from node.stream.service import read_content
from tests.access.conftest import PASSWORD
from tests.web.conftest import Browser, forms_of

from .conftest import ANN, BEN, Office, roster_text


def _join(office: Office, name: str, dataflows: list[str] | None = None) -> str:
    """Let the office join a further federation, whose officers have signed which dataflows they want."""
    federation = new_identifier("f")
    with office.node.database.write() as session:
        session.add(Federation(id=federation, name=name, hub_id=new_identifier("n"), joined_at=office.node.clock()))
        session.flush()
        if dataflows is not None:
            lines = [{"dataflow": one, "readers": [one.partition(".")[2]], "level": NODES} for one in dataflows]
            grants = write_grants(lines, [{"kind": "release", "by": ["all"]}])
            keep_listed(session, federation, 1, {"grants.json": grants})
    return federation


def _records(office: Office, federation: str) -> dict[str, StoredRecord]:
    with office.node.database.read() as session:
        found = select(StoredRecord).where(StoredRecord.federation == federation).order_by(col(StoredRecord.revision))
        return {row.subject: row for row in session.exec(found).all()}


def _approve(office: Office, release: Release, federation: str = "") -> list[StoredRecord]:
    digests = [flow.digest for flow in office.look(release).flows]
    return service.approve(office.node.within(federation), BEN, release.id, digests, take=HANDLERS["release"])


def test_one_approval_gives_each_federation_what_it_asks_for(office: Office) -> None:
    territory = _join(office, "市总工会", ["MEM.all"])
    release = office.prepare()
    told = {one.name: one for one in office.look(release).addressees}
    assert told["市总工会"].dataflows == ("MEM.all",)
    assert len(told["省"].dataflows) > 1
    assert told["省"].sent == ()
    office.approve(release)
    ours, theirs = _records(office, office.federation), _records(office, territory)
    assert set(theirs) == {"MEM.all/2025U"}
    assert set(theirs) < set(ours)
    one, other = ours["MEM.all/2025U"], theirs["MEM.all/2025U"]
    assert read_content(one) == read_content(other), "the same content"
    assert other.sequence == 1, "in a stream of its own"
    assert one.id != other.id
    assert {one.name: one.sent == one.dataflows for one in office.look(release).addressees} == {
        "省": True,
        "市总工会": True,
    }
    with pytest.raises(Conflict, match="approved"):
        _approve(office, release)


def test_a_correction_follows_in_each(office: Office) -> None:
    territory = _join(office, "市总工会", ["MEM.all"])
    office.approve(office.prepare())
    office.load(roster_text(400, left_out=60), date(2025, 9, 1))
    office.approve(office.prepare(reason="离职人员补录"))
    for federation in (office.federation, territory):
        assert _records(office, federation)["MEM.all/2025U"].revision == 2


def test_a_parent_joined_later_gets_a_release_when_somebody_approves_it_for_that_one(
    small_office: Office,
) -> None:
    release = small_office.prepare()
    assert small_office.look(release).addressees == (), "nothing to say where there is one"
    small_office.approve(release)
    territory = _join(small_office, "市总工会")
    assert _records(small_office, territory) == {}
    with pytest.raises(NotPermitted):
        service.approve(small_office.node.within(territory), ANN, release.id, [], take=HANDLERS["release"])
    records = _approve(small_office, release, territory)
    assert {record.federation for record in records} == {territory}
    assert set(_records(small_office, territory)) == set(_records(small_office, small_office.federation))
    with small_office.node.database.read() as session:
        assert session.get_one(Release, release.id).state == "approved"


def test_a_parent_that_cannot_get_it_is_named_and_the_others_get_it_first(small_office: Office) -> None:
    territory = _join(small_office, "市总工会")
    release = small_office.prepare()
    with small_office.node.database.write() as session:
        recovery.begin(session, small_office.node, territory, recovery.COMMAND)
    with pytest.raises(Conflict, match="stream-recovering") as refused:
        small_office.approve(release)
    assert f"市总工会 ({territory})" in refused.value.text.en
    assert "gonghui --federation" in refused.value.text.zh
    assert _records(small_office, small_office.federation) == {}, "one approval is one transaction"
    assert _approve(small_office, release, small_office.federation)
    assert _records(small_office, territory) == {}


def test_narrowed_to_one_federation_the_others_get_nothing(small_office: Office) -> None:
    territory = _join(small_office, "市总工会")
    release = small_office.prepare()
    _approve(small_office, release, territory)
    assert _records(small_office, small_office.federation) == {}
    assert len(_records(small_office, territory)) > 1
    small_office.approve(release)
    assert set(_records(small_office, small_office.federation)) == set(_records(small_office, territory))


def test_a_notice_goes_to_both_and_is_said_once_at_home(small_office: Office) -> None:
    territory = _join(small_office, "市总工会")
    node = small_office.node
    draft = Draft("健步走", "操场", "2030-10-11T09:00", "2030-10-11T11:00")
    made = notices.publish(node, ANN, draft)
    notices.update(node, ANN, made.id, replace(draft, place="体育馆"), revision=1)
    notices.cancel(node, ANN, made.id, "下雨")
    for federation in (small_office.federation, territory):
        newest = _records(small_office, federation)[made.id]
        assert (newest.revision, read_content(newest)["state"]) == (3, "cancelled")
    with node.database.read() as session:
        assert [shown.notice.id for shown in notices.list_notices(session, node, ANN)] == [made.id]
        assert len(session.exec(select(Notice)).all()) == 2


def test_the_approvers_page_says_to_whom_it_goes(small_office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", quick)
    passwords._nobodys_hash.cache_clear()
    node = small_office.node
    _join(small_office, "市总工会", ["MEM.all"])
    release = small_office.prepare()
    with node.database.write() as session:
        session.get_one(Account, BEN.account_id).password_hash = quick.hash(PASSWORD)
    browser = Browser(node, create_app(node))
    assert browser.sign_in(BEN.name).status_code == 303
    page = browser.get(f"/releases/{release.id}")
    assert "发往" in page.text
    assert page.text.index("市总工会") < page.text.index("MEM.all"), "and which of its tables"
    shown = browser.follow(browser.send(page, f"/releases/{release.id}/approve"))
    assert shown.text.count("已发出") == 2
    assert f"/releases/{release.id}/approve" not in [form.action for form in forms_of(shown)]

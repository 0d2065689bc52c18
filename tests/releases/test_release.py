"""From a roster to signed records: prepared, looked at, approved by somebody else, corrected, never changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from sqlmodel import select

from federation.documents import sha256_hex
from federation.envelope import read_envelope
from federation.errors import Conflict, InputRefused, NotPermitted, TrustError
from federation.validation import check_schema
from node.access.permissions import ADMIN, APPROVER, VIEWER, Actor
from node.audit.models import AuditEntry
from node.context import Node
from node.exchange.models import SharedFigure
from node.handlers import HANDLERS
from node.indicators import release as service
from node.indicators.models import ReleaseItem
from node.stream.models import StoredRecord
from tests.releases.conftest import ANN, BEN, EVE, Office, open_office, roster_text


def items_of(office: Office, release_id: str) -> list[ReleaseItem]:
    with office.node.database.read() as session:
        return list(session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release_id)).all())


def test_a_draft_says_what_goes_out_and_why_the_rest_does_not(office: Office) -> None:
    release = office.prepare()
    shown = office.look(release)
    assert (release.state, release.revision, release.known_at) == ("draft", 1, 1)
    for item in items_of(office, release.id):
        check_schema("release.v1", json.loads(item.content))
        assert item.digest == sha256_hex(item.content)
    cells = [cell for flow in shown.flows for table in flow.tables for cell in table.cells]
    reasons = {cell.reason for cell in cells if cell.status == "Q"}
    assert reasons == {"too-small", "protects"}
    for cell in cells:
        if cell.status == "Q":
            assert not cell.value
            assert cell.inside or cell.reason == "protects"
        if cell.reason == "too-small" and "/" not in cell.inside:
            assert 0 < int(cell.inside) < 5
    assert shown.visible_share is not None
    assert 0 < shown.visible_share < 1


def test_what_is_withheld_has_no_number_and_no_reason_on_the_wire(office: Office) -> None:
    release = office.prepare()
    items = items_of(office, release.id)
    withheld = [entry for item in items for entry in json.loads(item.content)["observations"] if entry["status"] == "Q"]
    assert withheld
    assert all(set(entry) == {"indicator", "dims", "status"} for entry in withheld)
    assert not any(b"too-small" in item.content for item in items)


def test_a_table_adds_up_to_its_margin_wherever_all_of_it_is_published(office: Office) -> None:
    shown = office.look(office.prepare())
    totals = {
        table.indicator.code: int(table.cells[0].value)
        for flow in shown.flows
        for table in flow.tables
        if not table.letters and table.cells[0].value.isdecimal()
    }
    whole = 0
    for table in (table for flow in shown.flows for table in flow.tables if table.letters):
        if all(cell.status == "A" and cell.value.isdecimal() for cell in table.cells):
            assert sum(int(cell.value) for cell in table.cells) == totals[table.indicator.code]
            whole += 1
    assert whole > 3


def test_only_somebody_else_approves_exactly_what_was_looked_at(office: Office) -> None:
    release = office.prepare()
    digests = [flow.digest for flow in office.look(release).flows]
    take = HANDLERS["release"]
    author = replace(BEN, account_id=ANN.account_id)
    for actor, code in ((ANN, "not-permitted"), (EVE, "not-permitted"), (author, "approver-is-preparer")):
        with pytest.raises(NotPermitted) as refused:
            service.approve(office.node, actor, release.id, digests, take=take)
        assert refused.value.code == code
    for wrong in ([], digests[1:] or ["0" * 64], [*digests, "0" * 64]):
        with pytest.raises(Conflict, match="digests-differ"):
            service.approve(office.node, BEN, release.id, wrong, take=take)
    records = service.approve(office.node, BEN, release.id, digests, take=take)
    contents = {item.dataflow: item.content for item in items_of(office, release.id)}
    for record in records:
        payload = read_envelope(record.envelope).payload
        assert payload.endswith(b'"content":' + contents[record.subject.partition("/")[0]] + b"}")
        assert (record.kind, record.revision, record.stream) == ("release", 1, "all")
    with office.node.database.read() as session:
        shared = session.exec(select(SharedFigure)).all()
        said = [entry.action for entry in session.exec(select(AuditEntry)).all()]
    assert {figure.record_id for figure in shared} == {record.id for record in records}
    assert said[-2 - len(records) :] == ["release.prepare", *["record.sign"] * len(records), "release.approve"]


def test_a_decided_release_stays_as_it_is(office: Office) -> None:
    release = office.prepare()
    office.approve(release)
    with pytest.raises(Conflict, match="release-approved"):
        office.approve(release)
    with pytest.raises(Conflict, match="release-approved"):
        service.withdraw(office.node, ANN, release.id)


def test_a_correction_is_the_next_revision_with_a_reason(office: Office) -> None:
    first = office.prepare()
    [old] = [record for record in office.approve(first) if record.subject == "MEM.all/2025U"]
    with pytest.raises(InputRefused, match="reason-missing"):
        office.prepare()
    with pytest.raises(Conflict, match="release-unchanged"):
        office.prepare(reason="再发一次")
    office.load(roster_text(400, left_out=60), date(2025, 9, 1))
    second = office.prepare(reason="离职人员补录")
    assert any(cell.is_new for flow in office.look(second).flows for table in flow.tables for cell in table.cells)
    [new] = [record for record in office.approve(second) if record.subject == "MEM.all/2025U"]
    assert (new.revision, new.sequence) == (2, old.sequence + len(items_of(office, first.id)))
    payload = json.loads(read_envelope(new.envelope).payload)
    assert payload["supersedes"] == old.id
    assert payload["content"]["reason"] == "离职人员补录"
    with office.node.database.read() as session:
        assert session.get_one(StoredRecord, old.id).envelope == old.envelope
        states = {release.id: release.state for release in service.list_releases(session, ANN)}
        kept = {figure.record_id for figure in session.exec(select(SharedFigure)).all() if figure.dataflow == "MEM.all"}
    assert states == {first.id: "superseded", second.id: "approved"}
    assert kept == {new.id}


def test_a_release_does_not_move_with_later_data(office: Office) -> None:
    release = office.prepare()
    before = [item.content for item in items_of(office, release.id)]
    office.load(roster_text(400, seed=9), date(2024, 10, 15))
    assert office.look(release).newer_data
    assert [item.content for item in items_of(office, release.id)] == before
    records = office.approve(release)
    assert len(records) == len(before)


def test_preparing_again_withdraws_the_draft_before(office: Office) -> None:
    first = office.prepare()
    second = office.prepare()
    with office.node.database.read() as session:
        states = {release.id: release.state for release in service.list_releases(session, ANN)}
    assert states == {first.id: "withdrawn", second.id: "draft"}
    assert [item.content for item in items_of(office, first.id)] == [
        item.content for item in items_of(office, second.id)
    ]


def test_an_office_of_one_may_say_so_and_it_is_written_into_the_release(make_node: Callable[..., Node]) -> None:
    office = open_office(make_node(privacy={"approval": "one-person"}))
    office.load(roster_text(60))
    alone = Actor(ANN.account_id, "ann", APPROVER)
    release = service.prepare(office.node, alone, "2025U")
    records = office.approve(release, alone)
    assert all(json.loads(read_envelope(r.envelope).payload)["content"]["approval"] == "one-person" for r in records)


def test_a_changed_approval_rule_needs_a_new_draft(make_node: Callable[..., Node]) -> None:
    office = open_office(make_node(privacy={"approval": "one-person"}))
    office.load(roster_text(60))
    release = office.prepare()
    strict = replace(office, node=replace(office.node, settings=make_node().settings))
    with pytest.raises(Conflict, match="approval-changed"):
        strict.approve(release)


@pytest.mark.parametrize(
    ("period", "code"),
    [
        ("2025", "period-local"),
        ("2031U", "period-in-future"),
        ("2025-13", "period-unknown"),
        ("２０２５U", "period-unknown"),
        ("1990U", "nothing-to"),
    ],
)
def test_what_cannot_be_released_is_said(small_office: Office, period: str, code: str) -> None:
    with pytest.raises(InputRefused, match=code):
        small_office.prepare(period)


def test_an_open_period_is_released_as_provisional_only(make_node: Callable[..., Node]) -> None:
    node = replace(make_node(), clock=lambda: datetime(2025, 3, 1, tzinfo=UTC))
    office = open_office(node)
    office.load(roster_text(60))
    with pytest.raises(InputRefused, match="period-open"):
        office.prepare("2025U")
    release = office.prepare("2025U", provisional=True)
    told = [json.loads(item.content) for item in items_of(office, release.id)]
    assert all(content["provisional"] is True for content in told)


def test_a_release_overtaken_by_another_is_not_approved(small_office: Office) -> None:
    """Two drafts of one period, as two offices at once could leave them: the second is told to begin again."""
    first = small_office.prepare()
    second = small_office.prepare()
    with small_office.node.database.write() as session:
        row = session.get_one(type(first), first.id)
        row.state = "draft"
        session.add(row)
    small_office.approve(second)
    with pytest.raises(Conflict, match="release-outdated"):
        small_office.approve(first)


def test_roles(small_office: Office) -> None:
    release = small_office.prepare()
    for role in (VIEWER, ADMIN):
        with pytest.raises(NotPermitted):
            small_office.look(release, Actor("a-x", "x", role))
        with pytest.raises(NotPermitted):
            service.prepare(small_office.node, Actor("a-x", "x", role), "2025U")
    seen = small_office.look(release, EVE)  # no rows about persons, so no numbers behind withheld cells either
    assert not any(cell.inside or cell.reason for flow in seen.flows for table in flow.tables for cell in table.cells)
    assert seen.visible_share is None


def test_what_others_would_refuse_is_not_signed(small_office: Office) -> None:
    """Whoever writes a small cell into the stored draft does not get it signed by its digest."""
    release = small_office.prepare()
    with small_office.node.database.write() as session:
        for item in session.exec(select(ReleaseItem).where(ReleaseItem.release_id == release.id)).all():
            told = json.loads(item.content)
            told["observations"] = [
                entry | ({"value": 2} if entry["status"] == "A" and "value" in entry and entry["dims"] else {})
                for entry in told["observations"]
            ]
            item.content = json.dumps(told).encode()
            item.digest = sha256_hex(item.content)
            session.add(item)
    with pytest.raises((InputRefused, TrustError), match="cell-too-small"):
        small_office.approve(release)
    with small_office.node.database.read() as session:
        assert session.exec(select(StoredRecord)).first() is None


def test_a_rate_of_contracts_does_not_tell_how_few_have_none(make_node: Callable[..., Node]) -> None:
    """Beside the public total of staff, 57 of 60 with a contract would single out three; density may be told."""
    office = open_office(make_node())
    lines = roster_text(60, seed=4).splitlines()
    rows = [line.split(",") for line in lines[1:]]
    for number, row in enumerate(rows):
        form = "人事代理" if number in {0, *range(3, 22)} else "合同" if number < 30 else "在编"
        row[7], row[8], row[9] = form, "在职", "否" if number < 3 else "是"
        row[10] = "2010-05-01" if number >= 3 else ""
        row[11] = "2020-01-31" if number < 3 else "2030-01-31"
    office.load("\n".join([lines[0], *(",".join(row) for row in rows)]))
    records = office.approve(office.prepare())
    with office.node.database.read() as session:
        figures = session.exec(select(SharedFigure).where(SharedFigure.dims == "")).all()
    told = {figure.indicator: (figure.status, figure.numerator, figure.denominator) for figure in figures}
    assert records
    assert told["MEM_DENSITY"] == ("A", 57, 60)
    assert told["CON_SIGN_RATE"] == ("Q", None, None)

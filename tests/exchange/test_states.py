"""The tables of states guard the rows: what they do not allow cannot be written."""

import pytest
from sqlmodel import select

from federation.errors import GonghuiError
from node.stream.models import JoinRequest, ListDraft, OutboxItem, StoredRecord
from node.stream.states import DESK_DRAFT_STATES, OUTBOX_STATES, RECORD_STATES, REQUEST_STATES

from .conftest import World

ROWS = (
    (StoredRecord, RECORD_STATES),
    (OutboxItem, OUTBOX_STATES),
    (JoinRequest, REQUEST_STATES),
    (ListDraft, DESK_DRAFT_STATES),
)


def test_a_state_outside_the_tables_cannot_be_written(world: World) -> None:
    college = world.add_college()
    world.append(college, 1)
    for row, forbidden in ((StoredRecord, ("placeholder", "", "nonsense")), (OutboxItem, ("", "nonsense"))):
        for state in forbidden:
            with pytest.raises(GonghuiError, match="state-forbidden"), college.database.write() as session:
                held = session.exec(select(row)).one()
                held.state = state
    with college.database.read() as session:
        assert session.exec(select(StoredRecord)).one().state == "current"
        assert session.exec(select(OutboxItem)).one().state == "waiting"


@pytest.mark.parametrize(("row", "states"), ROWS)
def test_every_state_can_be_reached_and_nothing_leads_back_to_nothing(
    row: type, states: dict[str, tuple[frozenset[str], str]]
) -> None:
    reached = {""}
    for _ in states:
        reached |= {target for sources, target in states.values() if sources & reached}
    assert reached == {""} | {target for _, target in states.values()}
    assert all(sources <= reached for sources, _ in states.values())
    assert "" not in {target for _, target in states.values()}


@pytest.mark.parametrize(("row", "states"), ROWS)
def test_a_new_row_takes_only_what_leads_out_of_nothing(
    row: type, states: dict[str, tuple[frozenset[str], str]]
) -> None:
    first = {target for sources, target in states.values() if "" in sources}
    for state in {target for _, target in states.values()}:
        if state in first:
            assert row(state=state).state == state
        else:
            with pytest.raises(GonghuiError, match="state-forbidden"):
                row(state=state)


def test_what_contradicted_itself_stays_so(world: World) -> None:
    college = world.add_college()
    world.append(college, 1)
    with college.database.write() as session:
        session.exec(select(StoredRecord)).one().state = "equivocal"
    for state in ("current", "quarantined", "sealed"):
        with pytest.raises(GonghuiError, match="state-forbidden"), college.database.write() as session:
            session.exec(select(StoredRecord)).one().state = state

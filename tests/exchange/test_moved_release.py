"""A release with noise on its whole way: computed and approved at a college, taken by the hub, rolled up, shown."""

from federation.acceptance import Verdict
from federation.cellkey import possible_counts
from federation.documents import dump_document
from federation.periods import read_period
from node.access.models import Account
from node.exchange.view import read_view
from node.indicators.compute import compute_figures, load_figures
from node.stream.listed import keep_listed
from node.web import figures
from tests.exchange.conftest import World
from tests.exchange.releases import take_releases
from tests.exchange.test_view import ANNA
from tests.releases.conftest import ANN, BEN, Office, roster_text
from tests.releases.test_noise import without_contracts


def test_from_the_roster_of_a_college_to_the_table_of_the_hub(world: World) -> None:
    take_releases(world)
    college, reader = world.add_college(), world.add_college()
    world.introduce(reader, college)
    choice = {"dataflow": "MEM.all", "method": "cell-key"}
    listed = dump_document({"version": 1, "year_epsilon": "0", "dataflows": [choice]})
    for node in (world.hub, college, reader):
        with node.database.write() as session:
            keep_listed(session, world.federation, 2, {"protection.json": listed})
    with college.database.write() as session:
        for actor in (ANN, BEN):
            session.add(Account(id=actor.account_id, name=actor.name, role=actor.role, created_at=college.clock()))
    office = Office(college, world.federation)
    office.load(without_contracts(roster_text(80)))
    [record] = office.approve(office.prepare())
    for node in (world.hub, reader):
        assert world.receive(node, record.envelope).verdict is Verdict.ACCEPTED
    with college.database.write() as session:
        period = read_period("2025U")
        true = load_figures(session, compute_figures(session, period, 1, college.clock()))["MEM_CNT"]
    for node in (world.hub, reader, college):
        view = read_view(node, ANNA, "MEM_CNT", "2025U", tables=[("T",)])
        told = [row for row in view.rows if row.status != "withheld"]
        assert {(row.status, row.error) for row in told} == {("noisy", "2.4")}
        for row in told:
            low, high = possible_counts(int(row.value or 0), 5)
            assert low <= int(true[f"T={row.dims['T']}"].value) <= high
        assert "≈ " in figures.bars_of(view, view.rows, "zh")

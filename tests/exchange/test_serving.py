"""A page costs what is on it: no search through the whole log, whoever reads."""

import pytest

from node.exchange.serving import _PAGE_AFTER, _reader
from node.stream.service import find_member, get_federation

from .conftest import World


def test_sqlite_reads_a_page_in_order_of_position_without_sorting_the_log(world: World) -> None:
    college = world.add_college()
    with world.hub.database.read() as session:
        connection = session.connection()
        if connection.dialect.name != "sqlite":
            pytest.skip("PostgreSQL plans by statistics")
        federation = get_federation(session, world.hub)
        member = find_member(session, world.hub, federation, college.signer.public_key.keyid)
        assert member is not None
        values = {**_reader(world.hub, member, federation.hub_id), "cursor": 0, "limit": 51, "until": 50}
        for prepared in _PAGE_AFTER:
            compiled = prepared._compile(connection.dialect)
            given = tuple({**compiled.fixed, **values}[name] for name in compiled.order)
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled.text}", given).all()
            steps = [str(step[-1]) for step in plan]
            assert steps[0].startswith("SEARCH stored_record USING INDEX ix_stored_record_position (position>?"), steps
            assert not any("TEMP B-TREE" in step for step in steps), steps

"""A database that an earlier release wrote is opened by this one: columns are added, rows are kept."""

from sqlalchemy import inspect, text
from sqlmodel import SQLModel, select

from node.db import Database, Meta
from node.stream.models import Peer

LATER = {"peer": ("transport", "groups", "sealing_key")}  # columns which came after release 0.1's first tables


def _take_back(database: Database) -> None:
    """Make the database one of the earlier release."""
    with database.write() as session:
        for table, columns in LATER.items():
            for column in columns:
                session.execute(text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        session.delete(session.get_one(Meta, "tables"))


def _columns(database: Database, table: str) -> set[str]:
    return {column["name"] for column in inspect(database.engine).get_columns(table)}


def test_rows_of_an_earlier_release_are_kept_and_get_the_new_columns(database: Database) -> None:
    _take_back(database)
    old = "INSERT INTO peer (federation, id, name, code, url, public_key, keyid, status, is_hub, cursor, failures"
    with database.write() as session:
        session.execute(
            text(
                f"{old}, last_error, skew_seconds)"
                " VALUES ('f', 'n', '甲校', '', '', '', 'k', 'active', false, 0, 0, '', 0)"
            )
        )
    assert "transport" not in _columns(database, "peer")
    database.create_tables()
    with database.read() as session:
        peer = session.exec(select(Peer)).one()
    assert (peer.name, peer.transport, peer.groups, peer.sealing_key) == ("甲校", "direct", "", "")
    for table in SQLModel.metadata.sorted_tables:
        assert {column.name for column in table.columns} <= _columns(database, table.name)


def test_a_second_start_looks_no_further(database: Database) -> None:
    _take_back(database)
    database.create_tables()
    with database.read() as session:
        first = session.get_one(Meta, "tables").value
    with database.write() as session:
        session.execute(text("ALTER TABLE peer DROP COLUMN groups"))
    database.create_tables()  # the digest says that nothing is to be done
    assert "groups" not in _columns(database, "peer")
    with database.write() as session:
        session.delete(session.get_one(Meta, "tables"))
    database.create_tables()
    assert "groups" in _columns(database, "peer")
    with database.read() as session:
        assert session.get_one(Meta, "tables").value == first

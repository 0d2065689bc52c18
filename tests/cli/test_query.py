"""`gonghui query`, `release review` and `release matrix` as a script uses them."""

from pathlib import Path
from typing import Any

import pytest

from federation.keys import new_identifier, new_private_pem, public_pem, read_signer
from node.access.models import Account
from node.access.service import digest_of
from node.clock import now
from node.context import Node, open_node
from node.db import Database
from node.exchange import inbox
from node.founding import found_node
from node.handlers import HANDLERS
from node.stream.models import Federation, Peer, StoredRecord
from node.stream.service import get_federation
from tests.cli.conftest import Gonghui
from tests.exchange.releases import content, count, rate, write_release


@pytest.fixture
def hub(tmp_path: Path) -> tuple[Path, list[StoredRecord], dict[str, Path]]:
    """A hub with two colleges of which one has reported, and tokens by role."""
    made = found_node(tmp_path / "hub", {"hub.enabled": True, "node.name": "省工会"}, admin="admin")
    node = open_node(made.config)
    tokens = {}
    with node.database.write() as session:
        federation = get_federation(session, node)
        for role in ("analyst", "viewer"):
            tokens[role] = tmp_path / role
            tokens[role].write_text(role, encoding="utf-8")
            session.add(Account(id=role, name=role, role=role, token_digest=digest_of(role), created_at=now()))
    records = []
    for name, observations in (
        (
            "甲学院",
            [count("MEM_STAFF_CNT", 50), count("MEM_CNT", 40), count("MEM_CNT", G="2"), rate("MEM_DENSITY", 30, 50)],
        ),
        (
            "乙学院",
            [
                count("MEM_STAFF_CNT", 90),
                count("MEM_CNT", 60),
                count("MEM_CNT", 25, G="2"),
                rate("MEM_DENSITY", 30, 50),
            ],
        ),
        ("丙学院", []),
    ):
        records += report(tmp_path, node, federation, name, observations)
    node.database.close()
    return made.config, records, tokens


def report(
    folder: Path, hub: Node, federation: Federation, name: str, observations: list[dict[str, Any]]
) -> list[StoredRecord]:
    """Enrol a college by hand and let the hub take its release."""
    database = Database(f"sqlite:///{folder}/{name}.db")
    database.create_tables()
    (folder / name).mkdir()  # each node's marks lie in a folder of its own
    college = Node(
        folder / name, hub.settings, database, new_identifier("n"), read_signer(new_private_pem()), b"x" * 32
    )
    key = college.signer.public_key
    with hub.database.write() as session:
        pem = public_pem(key)
        session.add(Peer(federation=federation.id, id=college.node_id, name=name, public_key=pem, keyid=key.keyid))
    if not observations:
        return []
    with database.write() as session:
        session.add(Federation(**federation.model_dump()))
        session.flush()
        record = write_release(session, college, federation.id, content(observations))
    with hub.database.write() as session:
        assert inbox.receive(session, hub, record.envelope, HANDLERS, via=inbox.PUSH).verdict == "accepted"
    database.close()
    return [record]


def test_query_review_and_matrix(
    gonghui: Gonghui, hub: tuple[Path, list[StoredRecord], dict[str, Path]], tmp_path: Path
) -> None:
    config, records, tokens = hub
    viewer = ("--config", config, "--token-file", tokens["viewer"])
    analyst = ("--config", config, "--token-file", tokens["analyst"])
    said = gonghui(*viewer, "query", "MEM_CNT", "--period", "2026U", "--rollup", "--sources", "--json")
    assert said.code == 0, said.error
    [row] = said.json
    assert (row["indicator"], row["period"], row["dims"], row["value"], row["status"]) == (
        "MEM_CNT",
        "2026U",
        {},
        100,
        "value",
    )
    assert row["coverage"] == {"reported": 2, "expected": 3, "withheld": 0, "persons": 140}
    assert row["sources"] == sorted(record.id for record in records)
    said = gonghui(*viewer, "query", "MEM_CNT", "--period", "2026U", "--dims", "G", "--rollup", "--json")
    assert [(row["dims"]["G"], row["value"], row["status"]) for row in said.json] == [
        ("1", None, "missing"),
        ("2", 25, "lower-bound"),
        ("9", None, "missing"),
        ("_U", None, "missing"),
    ]
    said = gonghui(*viewer, "query", "MEM_DENSITY", "--period", "2026U", "--rollup", "--json")
    assert [(row["value"], row["numerator"], row["denominator"]) for row in said.json] == [("60.0", 60, 100)]
    said = gonghui(*viewer, "query", "MEM_CNT", "--period", "2026U", "--json")
    assert {(row["name"], row["value"]) for row in said.json} == {("甲学院", 40), ("乙学院", 60)}
    out = gonghui(*viewer, "query", "MEM_CNT", "--period", "2026U", "--dims", "G", "--rollup").out
    assert "≥ 25" in out
    assert "丙学院" in out
    assert gonghui(*viewer, "query", "MEM_SECRET", "--period", "2026U").code == 3
    assert gonghui(*viewer, "query", "MEM_CNT", "--period", "2026").code == 3
    assert gonghui(*viewer, "release", "review", records[0].id, "--accept").code == 4
    assert gonghui(*analyst, "release", "review", records[0].id).code == 2
    said = gonghui(*analyst, "release", "review", records[0].id[:16], "--return", "请核对", "--json")
    assert (said.json["verdict"], said.json["note"]) == ("returned", "请核对")
    said = gonghui(*analyst, "release", "matrix", "--json")
    cells = {cell["name"]: cell for cell in said.json}
    assert [cells[name]["state"] for name in ("甲学院", "乙学院", "丙学院")] == ["reported", "reported", "missing"]
    assert cells["甲学院"]["review"]["verdict"] == "returned"
    assert "退回修改" in gonghui(*analyst, "release", "matrix").out
    file = tmp_path / "r.json"
    assert gonghui(*analyst, "record", "export", records[1].id, "--out", file).code == 0
    assert file.read_bytes() == records[1].envelope

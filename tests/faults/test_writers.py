"""Four writing processes on one database server while peers pull: none is lost.

The control that must fail, a plain serial cursor, stands in `tests/exchange/test_positions.py`.
"""

from collections.abc import Callable
from pathlib import Path

from node.context import open_node
from tests.faults.checks import check_healed
from tests.faults.conftest import LONG
from tests.faults.federation import Nodes, publish_notice

WRITERS, EACH = 4, 60 if LONG else 8


def write_many(config: str, first: int, count: int) -> None:
    node = open_node(Path(config))
    for number in range(first, first + count):
        publish_notice(node, number)


def test_four_writers_while_two_pull(on_server: Nodes, record_property: Callable[..., None]) -> None:
    nodes = on_server
    ann, ben = nodes["ann"], nodes["ben"]
    ann.work()
    ben.work()
    nodes.serve_hub()
    writers = [
        nodes.hub.start(write_many, str(nodes.hub.config), 1000 * number, EACH) for number in range(1, WRITERS + 1)
    ]
    rounds = 0
    while any(writer.process.is_alive() for writer in writers):
        readers = [folder.gonghui("sync", "run", "--json") for folder in (ann, ben)]
        assert [reader.wait().code for reader in readers] == [0, 0]
        rounds += 1
    assert [writer.wait().code for writer in writers] == [0] * WRITERS
    for folder in (ann, ben, ann):
        assert folder.sync().code == 0
    told = check_healed(nodes)
    assert told["records"] == WRITERS * EACH + 2 * 6 + 1
    record_property("figure", f"{WRITERS} writers of {EACH} records each, {rounds} rounds of two readers: none lost")

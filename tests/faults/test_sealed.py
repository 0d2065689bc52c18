"""Records for one reader alone, between three processes: a mailbox that dies during a poll, a key that is lost.

What is sealed lies at the hub as bytes; neither a kill there nor a reader's lost key may cost a record.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import col, select

from node.context import open_node
from node.exchange.models import MailboxParcel
from node.stream.models import OutboxItem, StoredRecord
from node.stream.service import append_record, get_federation, read_content
from tests.faults.federation import Folder, Nodes, live
from tests.faults.signed import Signed

Copied = Callable[[Nodes], Nodes]
CONTENT = (Path(__file__).parents[2] / "schemas" / "examples" / "valid-notice.v1.json").read_bytes()
HEAL_SECONDS = 60
NUMBERS = range(3)


@pytest.fixture
def sealing(three: Nodes, copied: Copied) -> Signed:
    """Give a hub and two colleges whose sealing keys stand in the signed list, which all have read."""
    made = Signed(copied(three))
    made.found(*made.nodes.colleges)
    made.nodes.serve_hub()
    for college in made.nodes.colleges:
        made.enrol(college)
    for college in made.nodes.colleges:
        assert college.sync().code == 0
    return made


def say(config: str, reader: str, *numbers: int) -> None:
    """Write records for one reader, in a process of its own."""
    node = open_node(Path(config))
    for number in numbers:
        with node.database.write() as session:
            append_record(
                session,
                node,
                federation=get_federation(session, node).id,
                stream=f"node:{reader}",
                kind="notice",
                subject=f"notice:{number}",
                revision=1,
                supersedes="",
                schema="notice.v1",
                content=json.dumps({**json.loads(CONTENT), "title": f"只给一所 {number}"}).encode(),
            )


def tell(sender: Folder, reader: str, *numbers: int) -> None:
    ended = sender.start(say, str(sender.config), reader, *numbers).wait()
    assert ended.code == 0, ended.error


def id_of(folder: Folder) -> str:
    with folder.opened() as node:
        return node.node_id


def for_one(holder: Folder, origin: str) -> list[tuple[str, str]]:
    """Return state and title of what `origin` has written for one reader, as a node holds it."""
    with holder.opened() as node, node.database.read() as session:
        rows = session.exec(
            select(StoredRecord).where(StoredRecord.origin == origin, col(StoredRecord.stream).startswith("node:"))
        ).all()
        rows = sorted(rows, key=lambda row: row.sequence)
        return [(row.state, read_content(row)["title"] if row.opened else "") for row in rows]


def parcels(hub: Folder) -> list[bytes]:
    with hub.opened() as node, node.database.read() as session:
        return [parcel.data for parcel in session.exec(select(MailboxParcel)).all()]


def test_a_mailbox_that_is_killed_in_a_poll_costs_nothing(sealing: Signed) -> None:
    """Two colleges that let nothing in; the hub dies while one of them waits for what the other has not yet put."""
    nodes = sealing.nodes
    ann, ben = nodes["ann"], nodes["ben"]
    for college in (ann, ben):
        college.set(exchange_transport="relay")
    live(nodes, ["ben"])
    ben.serve(0)
    until = time.monotonic() + HEAL_SECONDS
    time.sleep(2)  # by then it waits in its poll, which lasts 25 seconds
    nodes.hub.running[-1].kill()
    tell(ann, id_of(ben), *NUMBERS)
    assert json.loads(ann.sync().out)[0]["code"] == "peer-unreachable"
    nodes.serve_hub()
    assert ann.sync().code == 0
    assert parcels(nodes.hub), "they lie there until their reader comes"
    nodes.hub.running[-1].kill()
    nodes.serve_hub()
    expected = [("current", f"只给一所 {number}") for number in NUMBERS]
    while for_one(ben, id_of(ann)) != expected and time.monotonic() < until:
        time.sleep(0.2)
    assert for_one(ben, id_of(ann)) == expected, "it came by itself, once each"
    states: set[str] = set()
    while states != {"delivered"} and time.monotonic() < until:
        assert ann.sync().code == 0
        with ann.opened() as node, node.database.read() as session:
            items = session.exec(select(OutboxItem).where(OutboxItem.peer_id == id_of(ben))).all()
        states = {item.state for item in items}
    assert states == {"delivered"}
    assert not any("只给一所".encode() in data for data in parcels(nodes.hub))
    assert set(for_one(nodes.hub, id_of(ann))) <= {("sealed", "")}, "the hub carries what it cannot read"


def test_a_reader_that_renews_or_loses_its_key_loses_no_record(sealing: Signed) -> None:
    nodes = sealing.nodes
    ben, hub = nodes["ben"], nodes.hub
    reader, origin = id_of(ben), id_of(hub)
    tell(hub, reader, 0)
    assert ben.gonghui("key", "rotate-seal").wait().code == 0
    tell(hub, reader, 1)  # sealed to the key that the list still names
    assert ben.sync().code == 0
    assert for_one(ben, origin) == [("current", "只给一所 0"), ("current", "只给一所 1")]
    sealing.enrol(ben)
    tell(hub, reader, 2)
    for path in ben.path.glob("node.seal*"):  # the disk is gone, and nobody has a backup
        path.unlink()
    assert ben.gonghui("key", "rotate-seal").wait().code == 0
    assert ben.sync().code == 0
    assert for_one(ben, origin)[2] == ("sealed", ""), "it takes its place and holds nothing up"
    sealing.enrol(ben)
    with hub.opened() as node, node.database.read() as session:
        lost = session.exec(
            select(StoredRecord).where(StoredRecord.origin == origin, StoredRecord.subject == "notice:2")
        ).one()
    ended = hub.gonghui("record", "seal-again", lost.id).wait()
    assert ended.code == 0, ended.error
    tell(hub, reader, 3)
    assert ben.sync().code == 0
    assert for_one(ben, origin)[2:] == [("sealed", ""), ("current", "只给一所 2"), ("current", "只给一所 3")]

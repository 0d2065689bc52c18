"""Members that come and go while the exchange runs, a hub that signs old lists, and a hub that is lost for good."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlmodel import select

from federation.changes import suspend
from node.exchange.refreshing import sign_anew
from node.founding import found_node
from node.stream.models import StoredRecord
from tests.faults.checks import check_chains, records_of
from tests.faults.federation import QUIET, Folder, Nodes, publish_notice
from tests.faults.signed import Signed

Copied = Callable[[Nodes], Nodes]


@pytest.fixture
def signed(three: Nodes, copied: Copied) -> Signed:
    made = Signed(copied(three))
    made.found(*made.nodes.colleges)
    made.nodes.serve_hub()
    return made


def newcomer(nodes: Nodes, name: str) -> Folder:
    found_node(nodes.path / name, {**QUIET, "node.name": name}, admin="root")
    folder = Folder(name, nodes.path / name, nodes.path / "words")
    nodes.folders[name] = folder
    return folder


def code_of(folder: Folder) -> str:
    [result] = json.loads(folder.sync().out)
    return str(result["code"])


def write(folder: Folder, numbers: range) -> None:
    with folder.opened() as node:
        for number in numbers:
            publish_notice(node, number)


def held_of(reader: Folder, origin: Folder) -> int:
    """Return how many records of `origin` a node holds, after checking that they stand in one chain."""
    with origin.opened() as node:
        held = {place: data for place, data in records_of(reader).items() if place[0] == node.node_id}
    check_chains(held)
    return len(held)


def test_one_who_joins_and_one_who_is_removed_half_way(signed: Signed) -> None:
    """Ten records: one joins after the sixth, one is suspended after the eighth; nobody's chain breaks."""
    nodes = signed.nodes
    ann, ben = nodes["ann"], nodes["ben"]
    write(ann, range(6))
    write(ben, range(2))
    assert [code_of(folder) for folder in (ann, ben)] == ["", ""]
    cat = newcomer(nodes, "cat")
    signed.enrol(cat)
    assert code_of(cat) == ""
    assert (held_of(cat, ann), held_of(cat, ben)) == (6, 2), "what is for all is a newcomer's too, from the first"
    write(ann, range(6, 8))
    write(cat, range(2))
    assert [code_of(folder) for folder in (ann, ben, cat)] == ["", "", ""]
    with ben.opened() as node:
        signed.change(suspend(node.node_id))
    write(ann, range(8, 10))
    write(ben, range(2, 4))
    assert [code_of(folder) for folder in (ann, cat, ben, ann)] == ["", "", "member-suspended", ""]
    assert [held_of(folder, ann) for folder in (nodes.hub, cat, ben)] == [10, 10, 8]
    assert [held_of(folder, cat) for folder in (nodes.hub, ann)] == [2, 2]
    assert [held_of(folder, ben) for folder in (nodes.hub, ann, cat)] == [2, 2, 2], "what it said as a member stays"


def test_a_hub_that_signs_old_lists_is_found_out(signed: Signed, tmp_path: Path) -> None:
    """With its own keys a hub can sign anew what the officers have replaced; whoever has seen more refuses it."""
    nodes = signed.nodes
    ann, ben = nodes["ann"], nodes["ben"]
    assert [code_of(folder) for folder in (ann, ben)] == ["", ""]
    nodes.hub.end()
    old = tmp_path / "old-hub"
    shutil.copytree(nodes.hub.path, old)
    nodes.serve_hub()
    with ben.opened() as node:
        signed.change(suspend(node.node_id))
    assert code_of(ann) == ""
    newest = signed.versions(ann)
    nodes.hub.end()
    shutil.rmtree(nodes.hub.path)
    shutil.copytree(old, nodes.hub.path)  # the hub forgets the suspension, and signs what it had
    with nodes.hub.opened() as hub:
        for _ in range(3):
            assert sign_anew(hub, signed.federation, at_once=True) == ""
    nodes.serve_hub()
    held = signed.files(ann)
    code_of(ann)
    assert signed.problem(ann) == "list-rolled-back"
    assert (signed.files(ann), signed.versions(ann)) == (held, newest)
    with ann.opened() as node, ben.opened() as suspended, node.database.read() as session:
        from node.stream.models import Peer

        assert session.get_one(Peer, (signed.federation, suspended.node_id)).status == "suspended"


def test_the_next_good_list_is_taken_after_a_bad_one(signed: Signed) -> None:
    """The hub's files are damaged for a while; members keep what they hold, and go on when they are whole again."""
    nodes = signed.nodes
    ann = nodes["ann"]
    assert code_of(ann) == ""
    before = signed.versions(ann)
    with nodes["ben"].opened() as node:
        signed.change(suspend(node.node_id))
    with nodes.hub.opened() as hub:
        from node.stream.models import MemberListFile

        with hub.database.write() as session:
            rows = session.exec(select(MemberListFile)).all()
            kept = {row.path: row.content for row in rows}
            for row in rows:
                if ".targets." in row.path:
                    row.content = row.content.replace(b'"version":', b'"version" :')
                    session.add(row)
        write(ann, range(1))
        code_of(ann)
        assert signed.problem(ann).startswith("list-")
        assert signed.versions(ann) == before
        with hub.database.write() as session:
            for row in session.exec(select(MemberListFile)).all():
                row.content = kept[row.path]
                session.add(row)
    assert code_of(ann) == ""
    assert signed.problem(ann) == ""
    assert signed.versions(ann)["targets"] == before["targets"] + 1
    with nodes.hub.opened() as hub, ann.opened() as node, hub.database.read() as session:
        assert session.exec(select(StoredRecord).where(StoredRecord.origin == node.node_id)).all()

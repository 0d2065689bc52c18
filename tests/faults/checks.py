"""What must hold of a federation that has healed: nothing lost, nothing doubled, receipts match, aggregates equal."""

import json
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from sqlalchemy import func
from sqlmodel import SQLModel, col, select

from federation.envelope import read_envelope
from node.activities.models import Notice
from node.audit.chain import verify_trail
from node.context import Node
from node.exchange.view import read_rollup
from node.stream.log import find_index, log_size
from node.stream.models import Equivocation, OutboxItem, Receipt, RefusedDocument, StoredRecord, WaitingDocument
from node.stream.outbox import DELIVERED
from node.stream.service import CURRENT
from tests.faults.federation import PERIOD, WATCHER, Folder, Nodes

Place = tuple[str, str, int]


def check_healed(nodes: Nodes) -> dict[str, int]:
    """Check all of it; return what was counted."""
    with ExitStack() as opened:
        for folder in nodes.folders.values():
            opened.enter_context(folder.opened())
        return _check(nodes)


def _check(nodes: Nodes) -> dict[str, int]:
    held = {folder.name: records_of(folder) for folder in nodes.folders.values()}
    own = {folder.name: _own(folder, held[folder.name]) for folder in nodes.folders.values()}
    for_all = {place: data for name in own for place, data in own[name].items() if place[1] == "all"}
    for folder in nodes.folders.values():
        others = {place: data for place, data in held[folder.name].items() if place not in own[folder.name]}
        expected = {place: data for place, data in for_all.items() if place not in own[folder.name]}
        if folder is nodes.hub:
            expected |= {place: data for name in own for place, data in own[name].items() if place[1] == "hub"}
        assert {place for place in others if place[1] in {"all", "hub"}} == set(expected), folder.name
        assert all(others[place] == data for place, data in expected.items()), folder.name
        check_chains(held[folder.name])
        _check_tables(folder)
    receipts = _check_receipts(nodes)
    totals = {folder.name: rollup_of(folder) for folder in nodes.folders.values()}
    assert len({json.dumps(rows, sort_keys=True, default=str) for rows in totals.values()}) == 1
    return {"records": len(held[nodes.hub.name]), "receipts": receipts, "figures": len(totals[nodes.hub.name])}


def records_of(folder: Folder) -> dict[Place, bytes]:
    """Return what a node holds as current, by (origin, stream, sequence): the bytes."""
    with folder.opened() as node, node.database.read() as session:
        rows = session.exec(select(StoredRecord)).all()
        assert {row.state for row in rows} <= {CURRENT}, [(row.kind, row.state, row.code) for row in rows]
        return {(row.origin, row.stream, row.sequence): row.envelope for row in rows}


def check_chains(held: dict[Place, bytes]) -> None:
    """Check that every stream runs from 1 without a gap and each record names the one before."""
    streams: dict[tuple[str, str], list[tuple[int, str, str]]] = {}
    for (origin, stream, sequence), data in held.items():
        envelope = read_envelope(data)
        previous = json.loads(envelope.payload)["previous"]
        streams.setdefault((origin, stream), []).append((sequence, envelope.id, previous))
    for chain in streams.values():
        chain.sort()
        assert [sequence for sequence, _, _ in chain] == list(range(1, len(chain) + 1))
        assert [previous for _, _, previous in chain] == ["", *(identity for _, identity, _ in chain[:-1])]


def rollup_of(folder: Folder) -> list[dict[str, Any]]:
    """Return the combined figures as a node shows them, without what is seen from its own chair."""
    with folder.opened() as node:
        rows = [row.as_json(sources=True) for row in read_rollup(node, WATCHER, PERIOD)]
    return [
        {key: row[key] for key in ("indicator", "dims", "status", "value", "sources") if key in row} for row in rows
    ]


def count(node: Node, table: type[SQLModel]) -> int:
    with node.database.read() as session:
        return int(session.exec(select(func.count()).select_from(table)).one())


def _own(folder: Folder, held: dict[Place, bytes]) -> dict[Place, bytes]:
    with folder.opened() as node:
        return {place: data for place, data in held.items() if place[0] == node.node_id}


def _check_tables(folder: Folder) -> None:
    with folder.opened() as node:
        for table in (WaitingDocument, RefusedDocument, Equivocation):
            with node.database.read() as session:
                assert session.exec(select(table)).all() == [], folder.name
        with node.database.read() as session:
            positions = session.exec(select(StoredRecord.position).order_by(col(StoredRecord.position))).all()
            kept = session.exec(select(func.count()).where(StoredRecord.kind == "notice")).one()
            stored = session.exec(select(StoredRecord.id)).all()
            logged = {find_index(session, record_id) for record_id in stored}
            assert logged == set(range(log_size(session))), "the Merkle log holds each record once"
            verify_trail(session)
        assert len(set(positions)) == len(positions)
        assert count(node, Notice) == kept, "each notice has had its effect once"


def _check_receipts(nodes: Nodes) -> int:
    """Check that each college holds the very receipts which the hub has issued on its records."""
    with nodes.hub.opened() as hub, hub.database.read() as session:
        issued = {row.record_id: row.envelope for row in session.exec(select(Receipt)).all()}
    held: dict[str, bytes] = {}
    for folder in nodes.colleges:
        with folder.opened() as node, node.database.read() as session:
            items: Iterable[OutboxItem] = session.exec(select(OutboxItem)).all()
            assert {item.state for item in items} <= {DELIVERED}, folder.name
            held |= {item.record_id: item.receipt for item in items if item.peer_id == hub.node_id}
    assert held == issued
    return len(held)

"""The audit trail: whatever is cut, changed, moved or added is found; writers side by side make one chain."""

import ast
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlmodel import col, select

from federation.errors import TrustError
from node.audit import write_audit
from node.audit.chain import FIRST_HASH, Trail, read_trail, verify_trail
from node.audit.events import EVENTS
from node.audit.models import AuditEntry
from node.audit.tally import FLUSH_AFTER, count_event, write_counts
from node.db import Counter, Database
from node.exchange.trail import event_groups
from node.web import trail as web_trail

AT = datetime(2026, 10, 10, 8, 0, 0, 123456, tzinfo=UTC)


def _write(database: Database, count: int = 1, start: int = 0) -> None:
    for n in range(start, start + count):
        with database.write() as session:
            write_audit(session, account_id="a-1", action="user.role", subject=f"a-{n}", at=AT, role="officer", n=n)


def _fault(database: Database, *known: Trail) -> tuple[str, int]:
    with database.read() as session, pytest.raises(TrustError) as refusal:
        verify_trail(session, known)
    return refusal.value.code, refusal.value.params["number"]


def _trail(database: Database) -> Trail:
    with database.read() as session:
        return read_trail(session)


def test_a_chain_holds_across_transactions(database: Database) -> None:
    assert _trail(database) == Trail(0, FIRST_HASH)
    _write(database, 3)
    with database.write() as session:  # several in one transaction
        for n in range(3):
            write_audit(session, account_id="system", action="data.import", at=AT, rows=n)
    with database.read() as session:
        end = verify_trail(session)
        assert end.size == 6
        numbers = session.exec(select(AuditEntry.number).order_by(col(AuditEntry.id))).all()
        assert list(numbers) == [1, 2, 3, 4, 5, 6]
    assert end == _trail(database)


def test_what_was_undone_leaves_no_trace_and_no_gap(database: Database) -> None:
    _write(database)
    with pytest.raises(RuntimeError), database.write() as session:
        write_audit(session, account_id="a-1", action="data.import", at=AT)
        raise RuntimeError
    with database.write() as session:
        write_audit(session, account_id="a-1", action="data.undo", at=AT)
        with pytest.raises(RuntimeError), session.begin_nested():
            write_audit(session, account_id="a-1", action="data.import", at=AT)
            session.flush()
            raise RuntimeError
        with session.begin_nested():
            write_audit(session, account_id="a-1", action="user.add", at=AT)
    with database.read() as session:
        assert verify_trail(session).size == 3
        assert [entry.action for entry in session.exec(select(AuditEntry).order_by(col(AuditEntry.number)))] == [
            "user.role",
            "data.undo",
            "user.add",
        ]


@pytest.mark.parametrize(
    ("statement", "code", "number"),
    [
        ("UPDATE audit_entry SET subject = 'a-x' WHERE number = 3", "audit-entry-changed", 3),
        ("UPDATE audit_entry SET account_id = 'a-2' WHERE number = 1", "audit-entry-changed", 1),
        ("UPDATE audit_entry SET detail = '{}' WHERE number = 5", "audit-entry-changed", 5),
        ("UPDATE audit_entry SET result = 'refused' WHERE number = 5", "audit-entry-changed", 5),
        ("UPDATE audit_entry SET at = '2026-10-10 08:00:01+00:00' WHERE number = 2", "audit-entry-changed", 2),
        ("DELETE FROM audit_entry WHERE number = 2", "audit-entry-missing", 2),
        ("DELETE FROM audit_entry WHERE number = 5", "audit-entry-missing", 5),
        ("DELETE FROM audit_entry", "audit-entry-missing", 1),
        ("UPDATE audit_entry SET number = -number WHERE number = 4", "audit-entry-missing", 4),
        ("UPDATE audit_entry SET number = NULL WHERE number = 5", "audit-entry-changed", 5),
    ],
)
def test_a_cut_or_changed_trail_is_found(database: Database, statement: str, code: str, number: int) -> None:
    _write(database, 5)
    with database.write() as session:
        session.connection().execute(text(statement))
    assert _fault(database) == (code, number)


def test_two_entries_that_changed_places_are_found(database: Database) -> None:
    _write(database, 4)
    with database.write() as session:
        for old, new in ((2, 99), (3, 2), (99, 3)):
            session.connection().execute(text(f"UPDATE audit_entry SET number = {new} WHERE number = {old}"))
    assert _fault(database) == ("audit-entry-changed", 2)


def test_an_end_that_was_cut_or_written_anew_shows_against_what_others_have_seen(database: Database) -> None:
    _write(database, 3)
    seen = _trail(database)
    _write(database, 2, start=3)
    later = _trail(database)
    with database.read() as session:
        verify_trail(session, [seen, later])
    with database.write() as session:  # whoever owns the database covers the traces in it
        session.connection().execute(text("DELETE FROM audit_entry WHERE number > 2"))
        session.get_one(Counter, "audit").value = 2
    with database.read() as session:
        assert verify_trail(session).size == 2, "alone it cannot know"
    assert _fault(database, seen) == ("audit-entry-missing", 3)
    _write(database, 3, start=10)
    with database.read() as session:
        assert verify_trail(session).size == 5
    assert _fault(database, seen) == ("audit-entry-changed", 3)
    assert _fault(database, later) == ("audit-entry-changed", 5)


def test_writers_side_by_side_make_one_chain(database: Database) -> None:
    threads = [threading.Thread(target=_write, args=(database, 10, 100 * n)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert verify_trail(session).size == 40


def test_only_what_is_in_the_table_is_written(database: Database) -> None:
    with database.write() as session:
        with pytest.raises(ValueError, match="not an event"):
            write_audit(session, account_id="a-1", action="user.praise", at=AT)
        with pytest.raises(ValueError, match="no code"):
            write_audit(session, account_id="a-1", action="user.add", at=AT, name="张三")
    assert _trail(database).size == 0


def test_every_event_that_the_program_writes_is_in_the_table() -> None:
    named = set()
    for file in Path("node").rglob("*.py"):
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and _name(call.func) in WRITERS:
                values = [*call.args, *(word.value for word in call.keywords if word.arg == "action")]
                named |= {v.value for v in values if isinstance(v, ast.Constant) and "." in str(v.value)}
    assert named <= set(EVENTS), named - set(EVENTS)
    assert {"release.approve", "user.add", "data.import"} <= named


WRITERS = {"write_audit", "_audit", "_note", "_write", "count_event"}


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def test_reads_are_counted_and_written_in_batches(database: Database) -> None:
    for n in range(500):
        count_event(database, AT, account_id=f"n-{n % 2}", action="read.serve", subject="pull")
    count_event(database, AT, account_id="network", action="read.refuse", subject="ping", result="key-unknown")
    assert _trail(database).size == 0, "nothing was written yet"
    count_event(database, AT + FLUSH_AFTER, account_id="n-1", action="read.serve", subject="pull")
    with database.read() as session:
        rows = session.exec(select(AuditEntry).order_by(col(AuditEntry.number))).all()
        assert [(row.account_id, row.result, row.detail) for row in rows] == [
            ("n-0", "ok", '{"count": 250}'),
            ("n-1", "ok", '{"count": 251}'),
            ("network", "key-unknown", '{"count": 1}'),
        ]
        verify_trail(session)
    assert write_counts(database, AT + timedelta(minutes=2)) == 0
    for n in range(2_000):  # a stranger does not fill our memory
        count_event(database, AT, account_id="network", action="read.refuse", subject=f"x{n}")
    with database.read() as session:
        assert session.exec(select(AuditEntry).where(AuditEntry.subject == "more")).first() is not None


def test_every_group_of_events_has_its_words_on_the_page() -> None:
    assert set(event_groups()) == set(web_trail._GROUPS)


def test_nothing_but_a_code_stands_as_a_subject(database: Database) -> None:
    for said in ("张三", "Zhang San", "a@b.example", "x" * 161):
        with pytest.raises(ValueError, match="subject"), database.write() as session:
            write_audit(session, account_id="a", action="user.add", subject=said, at=AT)
        count_event(database, AT, account_id="a", action="read.page", subject=said)
    assert write_counts(database, AT) == 1
    with database.read() as session:
        assert session.exec(select(AuditEntry.subject)).all() == ["other"]


def test_what_could_not_be_written_is_still_counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    count_event(database, AT, account_id="a", action="read.page", subject="/sync")
    with monkeypatch.context() as broken:
        broken.setattr("node.audit.tally.write_audit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_counts(database, AT)
    assert write_counts(database, AT) == 1

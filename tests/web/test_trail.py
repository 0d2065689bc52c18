"""The audit trail on screen: what was done is there, a fault is told, the file is what the page shows."""

import csv
import io
import re
from collections.abc import Callable

import pytest
from sqlalchemy import text

from node.audit import write_audit
from node.context import Node
from node.exchange import trail

from .conftest import Browser

Open = Callable[..., Browser]


def _write(node: Node, count: int) -> None:
    with node.database.write() as session:
        for n in range(count):
            write_audit(session, account_id="a-officer", action="user.role", subject=f"a-{n:03}", at=node.clock(), n=n)


def _numbers(page: str) -> list[int]:
    return [int(found) for found in re.findall(r'<td class="number"[^>]*>(\d+)</td>', page)]


def test_the_newest_are_shown_first_and_older_ones_behind_them(open_browser: Open, node: Node) -> None:
    _write(node, trail.SHOWN + 20)
    admin = open_browser("admin")
    page = admin.get("/audit").text
    first = _numbers(page)
    assert first == sorted(first, reverse=True)
    assert len(first) == trail.SHOWN
    assert "登录" in page, "that the administrator signed in is an entry"
    older = re.findall(r'href="(/audit\?before=[^"]+)"', page)[0]
    assert _numbers(admin.get(older).text)[0] == first[-1] - 1


def test_it_is_searched_by_kind_account_and_subject(open_browser: Open, node: Node) -> None:
    _write(node, 12)
    admin = open_browser("admin")
    assert len(_numbers(admin.get("/audit?group=user").text)) == 12
    assert len(_numbers(admin.get("/audit?group=user&subject=a-01").text)) == 2
    assert len(_numbers(admin.get("/audit?account=a-admin&group=session").text)) == 1
    for nothing in ("group=none", "subject=%25", "account=a-x"):  # % is no wildcard
        assert "没有这样的记录" in admin.get(f"/audit?{nothing}").text
    rest = admin.get("/audit?lang=en").text.replace("中文", "").replace("测试大学", "").replace("联合体", "")
    assert not re.findall(r"[\u4e00-\u9fff]+", rest)


def test_what_every_round_reads_is_left_out_until_it_is_asked_for(open_browser: Open, node: Node) -> None:
    _write(node, 3)
    with node.database.write() as session:
        for op in ("pull", "heads"):
            write_audit(session, account_id="n-peer", action="read.serve", subject=op, at=node.clock(), count=7)
    admin = open_browser("admin")
    usual, whole = admin.get("/audit").text, admin.get("/audit?group=").text
    assert len(_numbers(whole)) == len(_numbers(usual)) + 2
    assert "取条目" in whole
    assert "取条目" not in usual
    assert "次数 7" in whole


def test_a_changed_entry_is_told(open_browser: Open, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(node, 5)
    admin = open_browser("admin")
    assert "完整" in admin.get("/audit").text
    with node.database.write() as session:
        session.execute(text("UPDATE audit_entry SET subject = 'a-x' WHERE number = 3"))
    page = admin.get("/audit").text
    assert "审计日志第 3 条被删改或缺失" in page
    assert "有误" in page
    monkeypatch.setattr(trail, "VERIFIED_UNASKED", 2)  # a long trail is checked when somebody asks
    page = admin.get("/audit").text
    assert "有误" not in page
    assert "现在核验" in page
    assert "有误" in admin.get("/audit?verify=1").text


def test_the_file_is_what_the_page_shows_and_taking_it_is_an_entry(open_browser: Open, node: Node) -> None:
    _write(node, 7)
    admin = open_browser("admin")
    rows = admin.get("/audit/trail.json?group=user").json()
    assert [row["subject"] for row in rows] == [f"a-{n:03}" for n in range(7)]
    assert all(re.fullmatch("[0-9a-f]{64}", row["hash"]) for row in rows)
    lines = list(csv.reader(io.StringIO(admin.get("/audit/trail.csv?group=user").text.removeprefix("\ufeff"))))
    assert lines[0][:3] == ["number", "at", "account"]
    assert [line[4] for line in lines[1:8]] == [f"a-{n:03}" for n in range(7)]
    assert len(admin.get("/audit/trail.json?group=audit").json()) == 2
    assert admin.get("/audit/trail.exe").status_code == 404


def test_only_the_administrator_sees_it(open_browser: Open) -> None:
    for role in ("officer", "approver", "analyst", "viewer"):
        assert open_browser(role).get("/audit").status_code == 403

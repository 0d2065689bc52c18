"""A database that is locked or gone: a page in words, with its headers, in both languages; never a bare 500."""

import sqlite3
from collections.abc import Callable

import pytest

from federation.errors import StorageError
from node.context import Node
from node.web import visitors
from node.web.pages import local_path
from tests.web.conftest import Browser

Open = Callable[..., Browser]


def test_a_database_that_cannot_be_read_is_told_on_a_page(open_browser: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = open_browser("officer")

    def locked(*_: object) -> None:
        raise StorageError(
            "database-locked", "数据库正被占用，请稍后重试。", "The database is locked; try again shortly."
        )

    monkeypatch.setattr(visitors, "find_session", locked)
    for path in ("/", "/nothing-here"):
        answer = browser.client.get(path)
        assert answer.status_code in {404, 503}, path
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "text/html" in answer.headers["content-type"]
    assert "数据库正被占用" in browser.client.get("/").text
    assert "database is locked" in browser.client.get("/?lang=en").text
    assert browser.client.get("/static/app.css").status_code == 200


def test_a_locked_database_keeps_nobody_from_reading(
    open_browser: Open, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = open_browser("viewer")
    monkeypatch.setattr("node.access.sign_in._NOTE_SECONDS", -1)  # every page notes that the session is in use
    with node.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 50")
    with sqlite3.connect(node.database.url.removeprefix("sqlite:///"), isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert browser.client.get("/notices").status_code == 200
        other.execute("ROLLBACK")


def test_static_files_carry_no_cookie(open_browser: Open) -> None:
    answer = open_browser().client.get("/static/app.js")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert open_browser().client.get("/static/none.js").status_code == 404


@pytest.mark.parametrize("text", ["//[", "//evil", "/\\evil", "https://evil", "", "/a\nb"])
def test_no_address_leads_elsewhere(text: str) -> None:
    assert local_path(text) == "/"


def test_a_period_nobody_reported_is_refused_in_words(open_browser: Open) -> None:
    browser = open_browser("viewer")
    for query in ("", "?period=2026U", "?period=%0a"):
        assert browser.client.get(f"/indicators/MEM_CNT/trend.svg{query}").status_code == 422

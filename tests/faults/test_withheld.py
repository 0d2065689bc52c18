"""A hub that withholds the newest record of a stream: each page of it is sound, and yet its reader finds it out.

The last of a stream leaves no gap. What shows it is the origin's own signed word, which records it holds as its last.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlmodel import col, select

import node.exchange.serving
from node.stream.models import StoredRecord
from tests.faults.checks import check_healed
from tests.faults.federation import Folder, Nodes, publish_notice
from tests.faults.process import Around, command

Copied = Callable[[Nodes], Nodes]


def command_without(record: str, *words: str) -> None:
    """Be `gonghui` on a hub that leaves one record out wherever it serves pages."""
    for name in ("read_page", "read_missing"):
        honest = getattr(node.exchange.serving, name)

        def lie(*values: Any, honest: Callable[..., Any] = honest, **named: Any) -> Any:
            page = honest(*values, **named)
            return replace(page, enclosed=[item for item in page.enclosed if item[0] != record])

        for module in list(sys.modules.values()):
            if module.__name__.startswith("node.") and vars(module).get(name) is honest:
                setattr(module, name, lie)
    command(*words)


def newest(folder: Folder) -> str:
    with folder.opened() as opened, opened.database.read() as session:
        own = select(StoredRecord.id).where(StoredRecord.origin == opened.node_id)
        return str(session.exec(own.order_by(col(StoredRecord.sequence).desc())).first())


def words_of(reader: Folder, origin: str) -> list[dict[str, Any]]:
    """Return what a reader tells of an origin's last words on its own streams to all."""
    told = json.loads(reader.gonghui("record", "alarms", "--json").wait().out)["statements"]
    return [item for item in told if (item["origin"], item["stream"]) == (origin, "all")]


def test_a_withheld_newest_record_is_found_by_its_origins_word(three: Nodes, copied: Copied) -> None:
    nodes = copied(three)
    ann, ben = nodes["ann"], nodes["ben"]
    for folder in (ann, ben):
        folder.work()
    nodes.serve_hub()
    assert [folder.sync().code for folder in (ann, ben)] == [0, 0]
    with ann.opened() as opened:
        publish_notice(opened, 77)
        origin = opened.node_id
    withheld = newest(ann)
    nodes.hub.end()
    token, port = str(nodes.hub.path / "admin.token"), str(nodes.port)
    words = ("--config", str(nodes.hub.config), "--token-file", token, "serve", "--json", "--port", port)
    liar = nodes.hub.start(command_without, withheld, *words, around=Around())
    nodes.hub.wait_until_it_answers(liar)
    assert [folder.sync().code for folder in (ann, ben)] == [0, 0], "every page is sound"
    [word] = words_of(ben, origin)
    assert word["missing"] == 1, "its origin says of itself that there is one more"
    nodes.hub.end()
    nodes.serve_hub()
    assert ben.sync().code == 0
    [word] = words_of(ben, origin)
    assert word["missing"] == 0
    for folder in (ann, ben):
        assert folder.sync().code == 0
    check_healed(nodes)

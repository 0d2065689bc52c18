"""What is public so far, and the audit of it that anybody runs from the signed files alone."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from federation.errors import InputRefused, TrustError
from node.cli import make_app
from node.cli.state import State
from node.indicators import ledger
from node.indicators.past import Past, load_past
from tests.attacks.test_history import PERIODS, each_for_itself
from tests.releases.conftest import BEN, Office, roster_text

ROUND = PERIODS[2:]


@pytest.fixture
def folder(small_office: Office, tmp_path: Path) -> Path:
    """Publish a month, its quarter and its year, and hand the signed files over."""
    for label in ROUND:
        small_office.approve(small_office.prepare(label))
    out = tmp_path / "public"
    state = State()
    vars(state).update(node=small_office.node, actor=BEN)
    make_app("privacy")(["privacy", "ledger", "--out", str(out)], standalone_mode=False, obj=state)
    return out


def audit(folder: Path, *more: str) -> int:
    code = make_app("privacy")(
        ["privacy", "audit", "--history", str(folder), "--json", *more], standalone_mode=False, obj=State()
    )
    assert isinstance(code, int)
    return code


def test_anybody_audits_the_signed_files_and_finds_what_each_for_itself_gives_away(
    small_office: Office, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert audit(folder) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (told["origin"], told["releases"], told["open"]) == (small_office.node.node_id, len(ROUND), [])
    assert told["withheld"] > 50
    entries = ledger.list_ledger(small_office.node, BEN)
    assert [entry.record_id[:12] for entry in entries] == [path.stem[6:] for path in sorted(folder.glob("*.json"))]
    assert sum(entry.withheld for entry in entries) >= told["withheld"]
    assert ledger.audit_own(small_office.node, BEN).findings == ()
    alone = ledger.audit_contents(each_for_itself(small_office, ROUND))
    assert len([found for found in alone.findings if found.why == "narrow"]) > 10, "the audit can find"
    assert all(found.high is not None and found.high - found.low < 3 for found in alone.findings)


def test_the_approver_is_told_of_what_earlier_releases_give_away(
    small_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert small_office.prepare("2025-07").lost == 0
    with monkeypatch.context() as earlier:  # a program that protected each release for itself
        earlier.setattr(
            "node.indicators.release.load_past",
            lambda *known: Past([], load_past(*known).digest),
        )
        for label in ROUND:
            small_office.approve(small_office.prepare(label))
    release = small_office.prepare("2025-10")
    assert release.lost > 10
    assert small_office.look(release).as_json()["lost"] == release.lost


def test_a_small_cell_that_was_published_is_open(small_office: Office) -> None:
    [content] = [item for item in each_for_itself(small_office, ["2025-09"]) if item["dataflow"] == "MEM.all"]
    cell = next(told for told in content["observations"] if told["status"] == "Q" and told["indicator"] == "MEM_CNT")
    cell |= {"status": "A", "value": 2}
    assert ("published-small", 2) in {(found.why, found.low) for found in ledger.audit_contents([content]).findings}


def test_files_that_do_not_hold_or_are_not_all_there_are_refused(small_office: Office, folder: Path) -> None:
    rows = roster_text(60, seed=4).splitlines()
    place = next(n for n, row in enumerate(rows) if ",讲师," in row and row.split(",")[9] == "是")
    rows[place] = rows[place].replace(",讲师,", ",教授,")
    small_office.load("\n".join(rows), date(2025, 9, 10))
    small_office.approve(small_office.prepare("2025-09", reason="更正", coarser=True))
    paths = {}
    for name, envelope in ledger.export_ledger(small_office.node, BEN):
        paths[name] = folder / name
        paths[name].write_bytes(envelope)
    first = sorted(paths.values())[0]
    kept = first.read_bytes()
    first.unlink()
    with pytest.raises(InputRefused, match="history-incomplete"):
        audit(folder)
    first.write_bytes(
        kept.replace(b'"sig":"A', b'"sig":"B') if b'"sig":"A' in kept else kept.replace(b'"sig":"', b'"sig":"A', 1)
    )
    with pytest.raises(TrustError):
        audit(folder)
    (folder / "public-key.pem").unlink()
    with pytest.raises(InputRefused, match="key-missing"):
        audit(folder)

"""The first half-hour as its script does it: five nodes, three ways, and every roll-up is the count of the rows."""

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, Gonghui, environment
from tests.forked import Forked

COLLEGES = ("listening", "calling", "relayed", "by-stick")


def _rows(folder: Path) -> int:
    return sum(len((folder / name / "roster.csv").read_text(encoding="utf-8").splitlines()) - 1 for name in COLLEGES)


@pytest.mark.skipif(not os.environ.get("GONGHUI_SOAK"), reason="four minutes of processor time: make soak")
@pytest.mark.timeout(900)
def test_five_nodes_over_three_ways_agree_also_after_changing_over(
    tmp_path: Path, gonghui: Gonghui, forked: Forked, record_property: Callable[[str, object], None]
) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "half-hour", tmp_path],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "GONGHUI": forked.gonghui, "PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seconds = re.findall(r"^# 共 / in all (\d+) 秒", done.stdout, re.MULTILINE)[-1]
    record_property("figure", f"first half-hour: five nodes, three transports, {seconds} s without telephone time")
    shown = re.findall(r"^= (\S+) (\S+) \((\S+)\)$", done.stdout, re.MULTILINE)
    assert shown[:5] == [(name, "220", "4/4") for name in ("hub", *COLLEGES)]
    assert shown[5:] == [(name, str(_rows(tmp_path)), "4/4") for name in ("hub", *COLLEGES)]
    assert _rows(tmp_path) == 240
    listening = ("--config", tmp_path / "listening" / "config.toml")
    token = ("--token-file", tmp_path / "listening" / "admin.token")
    officer = ("--token-file", tmp_path / "listening" / "zhang.token")
    records = gonghui(*listening, *officer, "record", "list", "--kind", "release", "--json").json
    told = [(record["origin"], record["subject"], record["revision"]) for record in records]
    assert len(told) == len(set(told)) == len(COLLEGES) + 2  # two released again; nothing is doubled
    status = gonghui(*listening, *token, "enrol", "status", "--json").json
    assert status["state"] == "active"
    assert gonghui(*listening, *token, "sync", "status", "--json").code == 0

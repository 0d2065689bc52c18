"""A federation from bare folders by commands alone, as the script of the README does it: at most six for a college."""

import re
import subprocess
from pathlib import Path

from tests.cli.conftest import ROOT, Gonghui, environment
from tests.forked import Forked

MAX_COMMANDS = 6


def test_a_college_joins_in_at_most_six_commands(tmp_path: Path, gonghui: Gonghui, forked: Forked) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / "federation", tmp_path, "1"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(), "GONGHUI": forked.gonghui},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    founding, joining = re.findall(r"# (\d+) 步 / steps, (\d+) 秒", done.stdout)
    assert int(joining[0]) <= MAX_COMMANDS
    assert int(founding[1]) + int(joining[1]) < 1800
    shown = gonghui(
        "--config", tmp_path / "college-1" / "config.toml", "--token-file", tmp_path / "college-1" / "admin.token",
        "federation", "show", "--json",
    )  # fmt: skip
    assert [member["status"] for member in shown.json["members"]] == ["active", "active"]
    assert shown.json["threshold"] == 2
    for secret in (tmp_path / "officer-1" / "officer.key", tmp_path / "hub" / "node.key"):
        assert secret.stat().st_mode & 0o077 == 0

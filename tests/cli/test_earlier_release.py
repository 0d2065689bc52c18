"""This release and the one before it exchange both ways: a release goes up, a notice comes down, as real processes.

The hub was founded and has enrolled the college by the earlier program, as those of today have; then one of the two
is updated. The earlier program is taken out of git; where the history is not here (an archive, a shallow clone) this is
skipped.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import ROOT, environment
from tests.forked import Forked

SOAK = pytest.mark.skipif(not os.environ.get("GONGHUI_SOAK"), reason="the other way round: make soak")
EARLIER = "6f104ea1f07eb7b894dba0edb312b94af736f7cb"


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of the earlier program."""
    command = ["git", "-C", str(ROOT), "archive", EARLIER, "node", "federation", "schemas"]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the history with the earlier release {EARLIER[:7]} is not here")
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


class Program:
    """One node, run by this release, or by the one in `tree`."""

    def __init__(self, command: list[str], folder: Path, tree: Path | None = None) -> None:
        self.folder = folder
        self.process: subprocess.Popen[str] | None = None
        self.use(command, tree)

    def use(self, command: list[str], tree: Path | None = None) -> None:
        self.command = command
        self.environment = environment() | ({"PYTHONPATH": str(tree)} if tree else {})

    def run(self, *words: str, by: str = "node/admin", bare: bool = False) -> str:
        config = [] if bare else ["--config", "node/config.toml", "--token-file", f"{by}.token"]
        done = subprocess.run(
            [*self.command, *config, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def init(self, *words: str) -> dict[str, Any]:
        self.folder.mkdir()
        told = self.run("init", "node", "--admin", "it", "--json", *words, bare=True)
        for name, role in (("zhang", "officer"), ("li", "approver")):
            self.run("user", "add", name, "--role", role, "--token-out", f"{name}.token")
        found: dict[str, Any] = json.loads(told)
        return found

    def serve(self) -> str:
        words = ["--config", "node/config.toml", "serve", "--port", "0", "--json"]
        self.process = subprocess.Popen(
            [*self.command, *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        text, until = "", time.monotonic() + 60
        while "}" not in text and time.monotonic() < until:
            text += self.process.stdout.readline() if self.process.stdout else ""
        return str(json.loads(text)["url"])

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()


@pytest.fixture(params=["earlier-hub", pytest.param("earlier-college", marks=SOAK)])
def pair(
    request: pytest.FixtureRequest, tmp_path: Path, earlier: Path, forked: Forked
) -> Iterator[tuple[Program, Program]]:
    """Give a running hub and a college, one of each release."""
    by_module = [sys.executable, "-m", "node"]
    hub = Program(by_module, tmp_path / "hub", earlier)
    if request.param == "earlier-hub":
        college = Program([forked.gonghui], tmp_path / "college")
    else:
        college = Program(by_module, tmp_path / "college", earlier)
    fingerprint = hub.init("--hub", "--name", "省", "--federation-name", "联合体")["fingerprint"]
    college.init("--name", "学院")
    college.run("peer", "key", "--out", "college.key.json")
    hub.run("peer", "enrol", str(college.folder / "college.key.json"))
    if request.param == "earlier-college":
        hub.use([forked.gonghui])
    try:
        college.run("peer", "add", hub.serve(), "--fingerprint", fingerprint)
        yield hub, college
    finally:
        hub.stop()


def _roster(path: Path) -> None:
    lines = ["工号,姓名,性别,出生日期,专业技术职务,入会时间"]
    lines += [f"{n:04d},教工{n},{'男' if n % 2 else '女'},1975-03-02,讲师,2010-05-01" for n in range(40)]
    path.write_text("\n".join(lines), encoding="utf-8")


def test_a_release_goes_up_and_a_notice_comes_down(pair: tuple[Program, Program]) -> None:
    hub, college = pair
    _roster(college.folder / "roster.csv")
    college.run("data", "import", "roster.csv", "--as-of", "2026-09-30", "--full", "--yes", by="zhang")
    prepared = json.loads(college.run("release", "prepare", "2026U", "--json", by="zhang"))
    college.run("release", "approve", _first_id(prepared), "--all", by="li")
    times = ("--starts", "2030-12-12T14:00", "--ends", "2030-12-12T17:00")
    named = ("notice", "publish", "--kind", "文体", "--place", "体育馆", *times, "--title")
    for program, title in ((hub, "省里的活动"), (college, "学院的活动")):
        program.run(*named, title, by="zhang")
    college.run("sync", "run")

    shown = json.loads(hub.run("query", "MEM_CNT", "--period", "2026U", "--json"))
    assert [row["value"] for row in shown] == [40]
    for program in (hub, college):
        told = json.loads(program.run("notice", "list", "--json"))["notices"]
        titles = {notice["title"] for notice in told}
        assert titles == {"省里的活动", "学院的活动"}
    assert json.loads(hub.run("sync", "quarantine", "--json")) == []
    assert json.loads(college.run("sync", "quarantine", "--json")) == []


def _first_id(prepared: Any) -> str:
    return str((prepared[0] if isinstance(prepared, list) else prepared)["id"])

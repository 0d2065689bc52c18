"""`gonghui data` as a script uses it: exit codes and JSON."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from federation.keys import new_private_pem, write_private_file
from node.access.models import Account
from node.access.service import digest_of
from node.clock import now
from node.context import KEY_FILE, NODE_ID, SECRET_FILE
from node.db import Database, Meta
from tests.forked import Forked

Run = Callable[..., tuple[int, Any, str]]
ROSTER = "工号,姓 名,性别,专业技术职务,取得博士年份,月工资(元),是否系主任\nosu1,,男,讲师,1985,5000,0\nosu2,,女,,,,\n"


@pytest.fixture
def run(tmp_path: Path, forked: Forked) -> Run:
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    write_private_file(tmp_path / KEY_FILE, new_private_pem())
    write_private_file(tmp_path / SECRET_FILE, os.urandom(32))
    (tmp_path / "token").write_text("secret-token", encoding="utf-8")
    database = Database(f"sqlite:///{tmp_path}/gonghui.db")
    database.create_tables()
    with database.write() as session:
        session.add(Meta(name=NODE_ID, value="n-1"))
        session.add(
            Account(id="a1", name="ann", role="officer", token_digest=digest_of("secret-token"), created_at=now())
        )
    database.close()

    def call(*arguments: str, token: bool = True) -> tuple[int, Any, str]:
        command = [forked.gonghui, "--config", str(tmp_path / "config.toml")]
        command += ["--token-file", str(tmp_path / "token")] if token else []
        done = subprocess.run(
            [*command, "data", *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
        return done.returncode, json.loads(done.stdout) if done.stdout[:1] in {"{", "["} else done.stdout, done.stderr

    return call


def test_a_roster_goes_in_is_listed_and_comes_out(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "osu_1999.csv"
    file.write_bytes(ROSTER.encode("gb18030"))
    common = (str(file), "--as-of", "2025-09-30", "--full", "--json")
    code, told, _ = run("preview", *common)
    assert (code, told["unknown_columns"]) == (0, ["取得博士年份", "是否系主任"])
    code, _, error = run("import", *common, "--yes")
    assert code == 3
    assert "columns-unknown" in error
    code, told, _ = run("import", *common, "--yes", "--unknown-columns", "drop", "--leavers", "keep")
    assert code == 0
    assert (told["number"], told["rows_refused"], told["counts"]["new"]) == (1, 0, 2)
    assert set(told["dropped_columns"]) == {"取得博士年份", "月工资(元)", "是否系主任"}
    assert any("on the job" in note["en"] for note in told["notes"])
    code, told, _ = run("import", *common, "--yes", "--unknown-columns", "drop")
    assert (code, told["number"]) == (0, None)
    code, listed, _ = run("list", "--json")
    assert [item["state"] for item in listed][:2] == ["unchanged", "confirmed"]
    code, told, _ = run("undo", listed[1]["import"], "--json")
    assert (code, told["number"]) == (0, 2)
    assert run("undo", listed[1]["import"], "--json")[0] == 7


def test_a_person_sees_tables(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("工号,姓名,职称\n1,张三,怪职称\n2,李四,讲师\n2,李四,讲师\n", encoding="utf-8")
    code, out, _ = run("import", str(file), "--as-of", "2025-09-30", "--partial", "--yes")
    assert code == 0
    for text in ("新增", "怪职称", "同一人出现两次", "gonghui data undo"):
        assert text in out
    assert "李四" not in out


def test_misuse_has_its_exit_codes(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("工号,姓名\n1,张三\n", encoding="utf-8")
    rest = ("--as-of", "2025-09-30", "--full", "--json")
    assert run("import", str(file), *rest)[0] == 2  # nobody can be asked
    assert run("import", str(file), "--as-of", "30.9.2025", "--full", "--yes")[0] == 2
    assert run("import", str(file), "--as-of", "2925-09-30", "--full", "--yes")[0] == 3
    assert run("import", str(file), *rest, "--yes", token=False)[0] == 4
    assert run("import", str(tmp_path / "absent.csv"), *rest, "--yes")[0] == 8
    assert not list((tmp_path / "staging").glob("*"))
    with (tmp_path / "big.csv").open("wb") as big:
        big.truncate(200_000_000)
    code, _, error = run("import", str(tmp_path / "big.csv"), *rest, "--yes")
    assert code == 3
    assert "file-too-large" in error


def test_bare_gender_digits_are_taken_with_a_mapping_that_is_kept(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "b.csv"
    file.write_text("工号,性别\n1,0\n2,1\n", encoding="utf-8")
    rest = (str(file), "--as-of", "2025-09-30", "--full", "--json")
    assert "gender-bare-digits" in run("preview", *rest)[2]
    code, told, _ = run("import", *rest, "--yes", "--value", "gender:0=2", "--value", "gender:1=1")
    assert (code, told["counts"]["new"]) == (0, 2)
    assert run("preview", *rest)[1]["counts"]["unchanged"] == 2
    assert run("mapping", "list", "--json")[1][0]["source"] == "b"
    assert run("mapping", "forget", "b")[0] == 0
    assert run("mapping", "forget", "b")[0] == 3

"""A member's whole life, and the federation's, by the commands that people type: nobody reaches into a database here.

Three officers of whom two sign, each in a folder of their own; colleges that only call out.
"""

import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from federation.lockbox import is_locked
from tests.cli.town import NAMES, Town, found_town
from tests.faults.conftest import long_form
from tests.faults.federation import free_port


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Town:
    return found_town(tmp_path_factory.mktemp("founded") / "town")


@pytest.fixture
def town(founded: Town, tmp_path: Path) -> Iterator[Town]:
    made = founded.copy(tmp_path / "town")
    made.serve("hub")
    yield made
    made.end()


def test_suspended_by_one_confirmed_by_two_and_resumed(town: Town) -> None:
    before = town.write("ben", "停用之前")
    town.sync("ben", "ann")
    assert town.officer(1, "enrol", "suspend", NAMES["ben"], "--hold")["state"] == "published"
    assert town.standing("ben") == "suspended"
    held_back = town.write("ben", "停用之后")
    town.sync("ben", code=5)
    assert "--anchor" in town.officer(3, "enrol", "suspend", NAMES["ben"], code=5), "who signed nothing trusts nobody"
    draft = town.officer(3, "enrol", "suspend", NAMES["ben"], "--anchor", town.anchor)["draft"]
    assert town.officer(2, "enrol", "approve", draft)["state"] == "published"
    town.sync("ann")
    assert (town.state_of("ann", before), town.state_of("ann", held_back)) == ("current", "")
    town.change("enrol", "resume", NAMES["ben"])
    assert town.standing("ben") == "active", "two officers have let it speak; no single one's hold outlives that"
    town.sync("ben", "ann")
    assert town.state_of("ann", held_back) == "current", "nothing was lost"


@long_form
def test_a_key_is_rotated_while_the_node_runs_and_revoked_as_of_a_time(town: Town) -> None:
    ann = town.at("ann")
    town.urls["ann"] = f"http://127.0.0.1:{free_port()}"
    ann.set(sync_enabled=True, sync_interval_seconds=1, sync_jitter_seconds=0)
    running = town.serve("ann")
    old, early = town.keyid("ann"), town.write("ann", "早")
    reach(town, "cat", early)
    time.sleep(1.1)  # a revocation names a whole second
    stolen_at = datetime.now(UTC).isoformat()
    late = town.write("ann", "晚")
    reach(town, "cat", late)
    new = town.do("ann", "enrol", "rotate", "--json")
    town.approve(new["id"])
    town.sync("ann")
    assert well(town, "ann"), "listed beside the old one: the running node goes on with that"
    assert town.do("ann", "enrol", "status", "--json")["key_turned"]
    between = town.write("ann", "新钥")  # by the new key, while the running node still has the old one
    assert running.process.is_alive()
    reach(town, "cat", between)
    assert running.stop() == 0
    running = town.serve("ann")
    assert town.keyid("ann") == new["keyid"] != old
    town.change("enrol", "retire", NAMES["ann"], old)
    town.sync("ann", "cat")
    assert well(town, "ann")
    assert {town.state_of("cat", record) for record in (early, late, between)} == {"current"}
    # what was thought to rest was stolen
    town.change("enrol", "revoke", NAMES["ann"], old, "--at", stolen_at)
    town.sync("hub", "cat")
    for reader in ("hub", "cat"):
        states = [town.state_of(reader, record) for record in (early, late, between)]
        assert states == ["current", "unproven", "current"], reader
    town.sync("ann")
    assert town.do("ann", "record", "countersign").strip().endswith(": 2")
    town.sync("ann", "cat")
    assert [town.state_of(reader, late) for reader in ("hub", "cat")] == ["current", "current"]


def reach(town: Town, reader: str, record: str) -> None:
    """Let both sides call the hub until a reader has a record: the writer's own node may be at it meanwhile."""
    for _ in range(10):
        town.sync("ann", reader)
        if town.state_of(reader, record) == "current":
            return
    raise AssertionError(record)


def well(town: Town, node: str) -> bool:
    """Tell whether no peer of a node has failed it lately."""
    return all(not peer["last_error"] for peer in town.do(node, "peer", "list", "--json"))


@long_form
def test_a_locked_key_is_rotated_and_a_lost_one_replaced(town: Town) -> None:
    cat = town.at("cat")
    passphrase = town.path / "passphrase"
    passphrase.write_text("一句口令 für das Haus\n", encoding="utf-8")
    passphrase.chmod(0o600)
    cat.set(keys_passphrase_file=str(passphrase))
    town.do("cat", "key", "protect", "--json")
    new = town.do("cat", "enrol", "rotate", "--json")
    town.approve(new["id"])
    assert town.do("cat", "enrol", "status", "--json")["key_turned"]
    assert is_locked((cat.path / "node.key").read_bytes())
    assert town.keyid("cat") == new["keyid"]
    first = town.write("cat", "换钥之后")
    town.sync("cat")
    # the disk with the key is gone
    (cat.path / "node.key").unlink()
    assert "gonghui key new" in town.do("cat", "sync", "run", "--json", code=8)
    made = town.do("cat", "key", "new", "--json")
    assert is_locked((cat.path / "node.key").read_bytes())
    asked = town.do("cat", "enrol", "replace", "--json")
    assert asked["keyid"] == made["keyid"] != new["keyid"]
    town.approve(asked["id"])
    assert town.standing("cat") == "active"
    second = town.write("cat", "补钥之后")
    town.sync("cat", "ben")
    assert (town.state_of("hub", first), town.state_of("hub", second)) == ("current", "current")
    assert town.state_of("ben", second) == "current"


@long_form
def test_renamed_left_come_back_and_merged(town: Town) -> None:
    code = town.member("hub", NAMES["cat"])["code"]
    town.change("enrol", "rename", NAMES["cat"], "丙大学")
    assert town.standing("ann") == "active"
    assert town.member("ann", "丙大学")["code"] == code
    said = town.write("ben", "退出之前")
    town.sync("ben", "ann")
    town.change("enrol", "leave", NAMES["ben"])
    assert town.standing("ben") == "left"
    assert town.state_of("ann", said) == "current", "what it signed stays"
    again = town.do("ben", "enrol", "request", "--anchor", town.anchor, "--json")
    town.approve(again["id"])
    assert town.standing("ben") == "active"
    town.change("enrol", "merge", NAMES["ben"], "丙大学")
    assert town.standing("ben") == "left"
    assert town.member("hub", NAMES["ben"])["status"] == "left"


def test_officers_without_network_and_an_officer_who_leaves(town: Town) -> None:
    stick = town.path / "stick"
    stick.mkdir()
    far = town.init("dan", "--transport", "file")
    town.do("dan", "enrol", "request", "--anchor", town.anchor, "--out", stick / "join.json", "--json")
    town.do("hub", "federation", "export", "--out", stick / "list.json")
    desk = ("--list", stick / "list.json", "--yes", "--json")
    said = stick / "join.json"
    for number in (3, 2):
        folder, signed = town.path / f"officer-{number}", stick / f"signed-{number}.json"
        town.type("enrol", "approve", said, "--officer", folder, "--anchor", town.anchor, "--out", signed, *desk)
        said = signed
    assert town.do("hub", "enrol", "take", said, "--json")["state"] == "published"
    town.do("hub", "bundle", "export", "--to", far, "--out", stick / "to-dan.bundle")
    town.do("dan", "bundle", "import", stick / "to-dan.bundle")
    assert town.standing("dan") == "active"
    town.change("federation", "officers", "--remove", "管理员3")
    told = town.officer(3, "enrol", "rename", NAMES["ann"], "甲大学", code=5)
    assert "officer-unknown" in told
    town.change("enrol", "rename", NAMES["ann"], "甲大学")
    listed = town.path / "protection.json"
    choice = {"dataflow": "MEM.all", "method": "differential-privacy"}
    listed.write_text(json.dumps({"version": 1, "year_epsilon": "2", "dataflows": [choice]}), encoding="utf-8")
    assert "protection-epsilon" in town.officer(1, "federation", "document", listed, code=3)
    choice["epsilon"] = "1"
    listed.write_text(json.dumps({"version": 1, "year_epsilon": "2", "dataflows": [choice]}), encoding="utf-8")
    town.change("federation", "document", listed)
    assert "protection.json" in town.do("hub", "federation", "show", "--json")["documents"]


def take_over(town: Town) -> None:
    """Let a college that let nothing in open a port and become the hub; its anchor file names it."""
    town.urls["cat"] = f"http://127.0.0.1:{free_port()}"
    town.at("cat").set(server_public_url=town.urls["cat"], hub_enabled=True)
    town.hub = "cat"
    town.serve("cat")
    town.change("federation", "hub", NAMES["cat"])
    town.do("cat", "federation", "anchor", "--out", town.path / "moved.json")


def move(town: Town, college: str) -> None:
    """Give a college the file that names the new hub."""
    told = town.do(college, "enrol", "request", "--anchor", town.path / "moved.json", "--json")
    assert (told["state"], told["sent_to"]) == ("listed", town.urls["cat"])
    assert town.standing(college) == "active"


@long_form
def test_the_hub_turns_its_own_key_and_loses_it(town: Town) -> None:
    """Its key signs the list too: officers name the next one in root, and the running hub signs by it at once."""
    running, old = town.at("hub").running[-1], town.keyid("hub")
    new = town.do("hub", "enrol", "rotate", "--json")
    town.approve(new["id"])
    town.change("enrol", "rename", NAMES["cat"], "丙大学")
    first = town.write("ann", "换钥期间")
    town.sync("ann", "ben")
    assert town.do("hub", "enrol", "status", "--json")["key_turned"]
    town.change("enrol", "rename", NAMES["ben"], "乙大学")
    assert running.stop() == 0
    town.serve("hub")
    assert town.keyid("hub") == new["keyid"] != old
    town.change("enrol", "retire", NAMES["hub"], old)
    second = town.write("ann", "换钥之后")
    town.sync("ann", "ben")
    assert [town.state_of("ben", record) for record in (first, second)] == ["current", "current"]
    # and then its disk with the key is lost
    town.end()
    (town.path / "hub" / "node.key").unlink()
    town.do("hub", "key", "new", "--json")
    town.serve("hub")
    asked = town.do("hub", "enrol", "replace", "--json")
    town.approve(asked["id"])
    third = town.write("ann", "补钥之后")
    town.sync("ann", "ben")
    assert town.state_of("ben", third) == "current"
    assert town.do("ben", "sync", "status", "--json")["list"]["warnings"] == []


@long_form
def test_a_hub_that_would_not_go_is_left_alone(town: Town) -> None:
    """It runs on, signs what it had every day and tells nobody; with the file at hand that holds no college back."""
    take_over(town)
    town.sync("ann", "ben")
    assert town.member("ann", NAMES["hub"])["id"] == town.do("ann", "federation", "show", "--json")["hub"]
    for college in ("ann", "ben"):
        move(town, college)
    said = town.write("ann", "对新汇总节点说")
    town.sync("ann", "ben")
    assert [town.state_of(reader, said) for reader in ("cat", "ben", "hub")] == ["current", "current", ""]


@long_form
def test_the_hub_is_gone_and_no_source_names_the_new_one_then_officers_are_lost(town: Town) -> None:
    early = town.write("ann", "老汇总节点在时")
    town.sync("ann", "cat")
    town.end()
    shutil.rmtree(town.path / "hub")
    waiting = town.write("ann", "老汇总节点走后")
    town.sync("ann", code=6)
    take_over(town)
    for college in ("ann", "ben"):
        town.sync(college, code=6)
        move(town, college)
    town.sync("ann", "ben")
    assert [town.state_of(reader, waiting) for reader in ("cat", "ben")] == ["current", "current"]
    assert town.state_of("ben", early) == "current"
    # two of three officers are gone for good: the third goes on with a new one
    town.type("federation", "officer", town.path / "officer-4", "--name", "新管理员", "--json")
    cards = [word for number in (1, 4) for word in ("--card", town.path / f"officer-{number}" / "officer.json")]
    draft = town.do("cat", "federation", "refound", "--threshold", "2", *cards, "--json")
    town.approve(draft["draft"], officers=(4, 1))
    anew = town.do("cat", "federation", "anchor", "--out", town.path / "anew.json", "--json")
    assert "anchor-unconfirmed" in town.do("ann", "enrol", "request", "--anchor", town.path / "anew.json", code=5)
    for college in ("ann", "ben"):
        confirmed = ("--fingerprint", anew["words"], "--instead-of", "联合体")
        words = ("--anchor", town.path / "anew.json", *confirmed, "--json")
        assert town.do(college, "enrol", "request", *words)["state"] == "listed"
        assert town.standing(college) == "active"
    town.change("enrol", "rename", NAMES["ben"], "乙大学", officers=(1, 4))
    after = town.write("ann", "重新建立之后")
    town.sync("ann", "ben")
    assert town.state_of("cat", after) == "current"
    assert town.state_of("ben", after) == "current"
    assert town.state_of("ben", early) == "current", "what was said before stays"

"""The member list against rollback, freeze, mixtures, short signatures and expiry: refused, and the old list stays."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from bench.membership_bench import make_list
from federation.anchor import build_anchor, read_anchor
from federation.changes import add_member, remove_officer, rotate_key, set_threshold, suspend
from federation.documents import dump_document, sha256_hex
from federation.drafts import complete, lift_hold, place_hold, propose, read_outcome, sign_draft
from federation.editions import resign
from federation.errors import GonghuiError, InputRefused, NetworkError, StorageError, TrustError
from federation.keys import public_pem
from federation.membership import MAX_ROOTS, open_list, refresh
from federation.metadata import check_metadata, target_name
from federation.roll import read_holds
from tests.federation.conftest import START, Circle, entry_of, new_signer


def test_a_newcomer_reads_the_list_from_its_anchor_alone(circle: Circle) -> None:
    member = entry_of(new_signer(), "甲学院", code="12345", groups=("counties",), transport="relay")
    circle.change(add_member(member))
    anchor = read_anchor(build_anchor(circle.latest.roll, circle.root))
    found = refresh(anchor.root, {}, circle.served.get, federation=anchor.federation, now=circle.now)
    assert found.members[member.id] == member
    assert (anchor.hub, anchor.hub_keyid) == (found.roll.hub, circle.hub.public_key.keyid)
    assert anchor.urls == ("https://hub.example.edu",)
    assert found.files == circle.served  # verbatim: whoever read the list can serve it


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (lambda text: text[:-5], "anchor-unreadable"),
        (lambda text: text.replace('\\"threshold\\":2', '\\"threshold\\":1', 1), "root-threshold"),
        (lambda text: text.replace('"federation"', '"federation": "f-", "federation"', 1), "anchor-unreadable"),
    ],
)
def test_a_damaged_anchor_is_refused(circle: Circle, fault: Callable[[str], str], code: str) -> None:
    text = build_anchor(circle.latest.roll, circle.root).decode()
    with pytest.raises(GonghuiError) as refused:
        read_anchor(fault(text).encode())
    assert refused.value.code == code


def test_a_change_reaches_a_reader_and_a_suspension_counts(circle: Circle) -> None:
    member = entry_of(new_signer())
    circle.change(add_member(member))
    assert circle.read().status_of(member.id, circle.now) == "active"
    circle.change(suspend(member.id))
    assert circle.read().status_of(member.id, circle.now) == "suspended"


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets"])
def test_a_role_that_is_rolled_back_is_refused(circle: Circle, role: str) -> None:
    """The hub signs an older edition of one role with the keys it has; what is held is newer."""
    old = dict(circle.served)
    circle.change(add_member(entry_of(new_signer())))
    circle.resign()
    circle.read()
    good = dict(circle.served)
    if role == "timestamp":
        circle.served = old
    elif role == "snapshot":  # a newer timestamp that names the old snapshot
        circle.served = dict(old)
        circle.served["timestamp.json"] = circle.forge("timestamp", lambda t: setattr(t, "version", 99), circle.hub)
    else:
        circle.served = _resigned_over(circle, old)
    circle.refused("list-rolled-back")
    circle.served = good
    circle.resign()
    assert circle.read().versions["timestamp"] > 3  # the next good one is accepted


def _resigned_over(circle: Circle, old: dict[str, bytes]) -> dict[str, bytes]:
    """Return old targets under a timestamp and a snapshot that are newer than all that was ever served."""
    files = dict(old)
    for _ in range(5):
        files = resign(files, circle.hub, now=circle.now)
    return files


def test_a_root_is_never_taken_back(circle: Circle) -> None:
    circle.publish(propose(circle.latest, now=circle.now, renew_root=True))
    circle.read()
    good = dict(circle.served)
    circle.served.pop("2.root.json")
    assert circle.read().versions["root"] == 2  # what is held counts, whatever is served
    forged = circle.forge("root", lambda root: setattr(root, "version", 3), *circle.officers[:1])
    circle.served = good | {"3.root.json": forged}
    circle.refused("root-threshold")


def test_a_frozen_list_expires(circle: Circle) -> None:
    circle.read()
    circle.pass_days(44)
    circle.read()
    circle.pass_days(2)
    circle.refused("list-expired")


@pytest.mark.parametrize(("days", "renew"), [(201, "targets"), (3 * 365 + 1, "root")])
def test_the_officers_signatures_expire_too(circle: Circle, days: int, renew: str) -> None:
    circle.read()
    circle.pass_days(days)
    circle.resign()
    circle.refused("list-expired")
    held = open_list(circle.root, circle.latest.files, federation=circle.federation, now=circle.now)
    circle.latest = held
    circle.publish(propose(held, now=circle.now, renew_root=renew == "root"))
    assert not circle.read().expired(circle.now)


def test_a_held_list_can_be_opened_after_its_expiry(circle: Circle) -> None:
    circle.read()
    circle.pass_days(46)
    circle.refused("list-expired")
    opened = open_list(circle.root, circle.held, federation=circle.federation, now=circle.now)
    assert opened.expired(circle.now)
    circle.resign()
    assert not circle.read().expired(circle.now)


@pytest.mark.parametrize(("days", "roles"), [(0, set()), (23, {"timestamp", "snapshot"})])
def test_half_a_life_is_told(circle: Circle, days: int, roles: set[str]) -> None:
    found = circle.read()
    circle.pass_days(days)
    assert set(found.ageing(circle.now)) == roles


@pytest.mark.parametrize("role", ["snapshot", "targets"])
def test_files_of_two_editions_are_refused(circle: Circle, role: str) -> None:
    old = dict(circle.served)
    circle.read()
    circle.change(add_member(entry_of(new_signer())))
    mixed = {"snapshot": "1.snapshot.json", "targets": "1.targets.json"}[role]
    circle.served[circle.path(role)] = old[mixed]
    circle.refused("list-mixed")


def test_a_target_that_was_exchanged_is_refused(circle: Circle) -> None:
    path = next(path for path in circle.served if "members-" in path)
    circle.served[path] = circle.served[path].replace("省总".encode(), "省会".encode())
    circle.refused("list-mixed")


def test_a_root_signed_only_by_its_new_keys_is_refused(circle: Circle) -> None:
    thieves = [new_signer() for _ in range(2)]

    def take_over(root: Any) -> None:
        root.version = 2
        for role in ("root", "targets"):
            root.roles[role].keyids = [thief.public_key.keyid for thief in thieves]
        root.keys |= {thief.public_key.keyid: thief.public_key for thief in thieves}
        kept = {keyid for role in root.roles.values() for keyid in role.keyids}
        root.keys = {keyid: key for keyid, key in root.keys.items() if keyid in kept}

    circle.read()
    circle.served["2.root.json"] = circle.forge("root", take_over, *thieves)
    circle.refused("root-threshold")
    circle.served["2.root.json"] = circle.forge("root", take_over, *thieves, circle.officers[0])
    circle.refused("root-threshold")  # t-1 of the old ones


@pytest.mark.parametrize("role", ["targets", "timestamp", "snapshot"])
def test_a_file_without_its_signatures_is_refused(circle: Circle, role: str) -> None:
    """The hub's key signs no targets, an officer alone neither, and a stranger nothing."""
    circle.read()

    def newer(signed: Any) -> None:
        signed.version = 9

    for signers in ((circle.hub,), (circle.officers[0],)) if role == "targets" else ((new_signer(),),):
        forged = circle.forge(role, newer, *signers)
        if role == "targets":
            files = {path: data for path, data in circle.served.items() if "targets.json" not in path}
            circle.served = resign({**files, "9.targets.json": forged}, circle.hub, now=circle.now)
        elif role == "timestamp":
            circle.served["timestamp.json"] = forged
        else:
            circle.served |= _naming_snapshot(circle, forged)
        circle.refused("list-threshold")


def _naming_snapshot(circle: Circle, snapshot: bytes) -> dict[str, bytes]:
    def name_it(timestamp: Any) -> None:
        timestamp.version = 9
        timestamp.snapshot_meta.version, timestamp.snapshot_meta.length = 9, len(snapshot)
        timestamp.snapshot_meta.hashes = None

    return {"9.snapshot.json": snapshot, "timestamp.json": circle.forge("timestamp", name_it, circle.hub)}


@pytest.mark.parametrize("role", ["root", "targets"])
def test_one_public_key_under_two_ids_is_refused(circle: Circle, role: str) -> None:
    """One officer alone, who is listed under two ids: python-tuf would count two of two."""
    circle.read()
    officer = circle.officers[0]
    twin = json.loads(json.dumps(officer.public_key.to_dict()))

    def edit(signed: dict[str, Any]) -> None:
        signed["version"] = 2
        keys = signed["keys"] if role == "root" else signed["delegations"]["keys"]
        keys["ee" * 32] = twin
        roles = signed["roles"].values() if role == "root" else signed["delegations"]["roles"]
        for each in roles:
            each["keyids"] = [*each["keyids"], "ee" * 32]

    name = {"root": "2.root.json", "targets": "2.targets.json"}[role]
    document = json.loads(circle.served[circle.path(role)])
    edit(document["signed"])
    forged = Metadata.from_dict(document)
    first = forged.sign(officer)
    forged.signatures["ee" * 32] = type(first)("ee" * 32, first.signature)
    verified = (
        forged.signed.get_verification_result("root", forged.signed_bytes, forged.signatures)
        if role == "root"
        else None
    )
    assert verified is None or verified.verified  # the library alone counts this one signer twice
    files = {path: data for path, data in circle.served.items() if role != "targets" or "targets.json" not in path}
    circle.served = {**files, name: forged.to_bytes()}
    if role == "targets":
        circle.served = resign(circle.served, circle.hub, now=circle.now)
    circle.refused("list-key-twice")


@pytest.mark.parametrize("spelling", ["upper-case", "extra-member", "pem-blank"])
def test_another_spelling_of_a_key_is_another_id_and_refused(circle: Circle, spelling: str) -> None:
    document = json.loads(circle.root)
    keyid = document["signed"]["roles"]["root"]["keyids"][0]
    key = document["signed"]["keys"][keyid]
    if spelling == "upper-case":
        key["keyval"]["public"] = key["keyval"]["public"].upper()
    elif spelling == "extra-member":
        key["remark"] = "x"
    else:
        key["keyval"]["public"] += "\n"
    with pytest.raises(TrustError) as refused:
        check_metadata(json.dumps(document).encode(), "root")
    assert refused.value.code in {"list-key-twice", "list-shape"}


FAULTS: dict[str, Callable[[str], str]] = {
    "unknown envelope field": lambda text: text.replace('{"signatures"', '{"remark":1,"signatures"', 1),
    "unknown signature field": lambda text: text.replace('{"keyid"', '{"remark":1,"keyid"', 1),
    "one key signs twice": lambda text: text.replace(
        '"signatures":[', '"signatures":[' + text[15:].split("]")[0] + ",", 1
    ),
    "a key stands twice": lambda text: text.replace('"signed":{', '"signed":{"version":9,', 1),
    "a float": lambda text: text.replace('"version":', '"remark":1.5,"version":', 1),
    "too deep": lambda text: text.replace('"version":', '"remark":' + "[" * 40 + "]" * 40 + ',"version":', 1),
    "version is text": lambda text: text.replace('"version":2}', '"version":"2"}'),
    "version is true": lambda text: text.replace('"version":2}', '"version":true}'),
    "not JSON": lambda text: text[1:],
    "another type": lambda text: text.replace('"_type":"timestamp"', '"_type":"snapshot"', 1),
}


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_misspelt_file_is_refused_before_the_library_sees_it(circle: Circle, fault: str) -> None:
    circle.read()
    circle.resign()
    text = circle.served["timestamp.json"].decode()
    circle.served["timestamp.json"] = FAULTS[fault](text).encode()
    assert circle.served["timestamp.json"] != text.encode()
    before = dict(circle.held)
    with pytest.raises(TrustError) as refused:
        circle.read()
    assert refused.value.code.startswith(("list-shape", "list-key-twice", "json-"))
    assert circle.held == before
    circle.served["timestamp.json"] = text.encode()
    circle.read()


def test_a_flood_is_cut(circle: Circle) -> None:
    circle.served["timestamp.json"] = b" " * 20_000
    circle.refused("list-too-large")


def test_a_file_that_is_missing_leaves_the_old_list_and_the_next_refresh_mends_it(circle: Circle) -> None:
    circle.read()
    circle.change(add_member(entry_of(new_signer())))
    good = dict(circle.served)
    for path in (path for path in good if path not in circle.held and not path.endswith(".root.json")):
        circle.served = {name: data for name, data in good.items() if name != path}
        circle.refused("list-unreachable")
    circle.served = good
    assert circle.read().versions["targets"] == 2


def test_a_network_error_comes_through_as_it_is(circle: Circle) -> None:
    def cut(path: str) -> bytes | None:
        raise NetworkError("peer-timeout", "超时。", "Timed out.")

    with pytest.raises(NetworkError) as refused:
        refresh(circle.root, {}, cut, federation=circle.federation, now=circle.now)
    assert refused.value.code == "peer-timeout"


def test_another_federations_list_is_refused(circle: Circle) -> None:
    with pytest.raises(TrustError) as refused:
        refresh(circle.root, {}, circle.served.get, federation="f-" + "a" * 26, now=circle.now)
    assert refused.value.code == "list-federation"


def test_a_hub_that_serves_old_targets_is_found_out_by_a_members_word(circle: Circle) -> None:
    """A newcomer cannot know; as soon as somebody's signed word names a higher version, it does."""
    member = entry_of(new_signer())
    circle.change(add_member(member))
    old = dict(circle.served)
    told = circle.change(suspend(member.id)).versions
    circle.served = _resigned_over(circle, old)
    found = circle.read()
    assert found.status_of(member.id, circle.now) == "active"
    assert found.behind(told) == ("targets",)
    assert found.behind(found.versions) == ()
    circle.served = dict(circle.latest.files)  # the one who said so passes its own files on
    circle.resign()
    for _ in range(5):
        circle.resign()
    assert circle.read().status_of(member.id, circle.now) == "suspended"


def test_a_timestamp_at_the_last_version_is_survived(circle: Circle) -> None:
    """The old hub signs version 2^53-1 before it loses its key; officers give the hub a new one."""
    circle.read()
    circle.served["timestamp.json"] = circle.forge("timestamp", lambda t: setattr(t, "version", 2**53 - 1), circle.hub)
    circle.read()
    circle.resign()
    circle.read()
    with pytest.raises(GonghuiError) as used_up:
        circle.resign()
    assert used_up.value.code == "list-versions-used-up"
    fresh = new_signer()
    draft = propose(circle.latest, rotate_key(circle.latest.roll.hub, public_pem(fresh.public_key)), now=circle.now)
    circle.hub = fresh
    circle.publish(draft)
    assert dict(circle.read().versions) == {"root": 2, "targets": 2, "timestamp": 1, "snapshot": 1, "hold": 0}


def test_new_hub_keys_do_not_let_old_targets_in(circle: Circle) -> None:
    """python-tuf forgets versions when the snapshot key changes; we do not."""
    circle.change(add_member(entry_of(new_signer())))
    circle.read()
    fresh = new_signer()
    draft = propose(circle.latest, rotate_key(circle.latest.roll.hub, public_pem(fresh.public_key)), now=circle.now)
    draft = circle.sign(draft)
    older: Metadata[Any] = Metadata.from_bytes(draft.metadata["targets"])
    older.signed.version = 1
    older.signatures.clear()
    for officer in circle.officers[:2]:
        older.sign(officer, append=True)
    files = {path: data for path, data in circle.served.items() if "targets.json" not in path}
    files |= {target_name(path, sha256_hex(data)): data for path, data in draft.files.items()}
    files |= {"2.root.json": draft.metadata["root"], "1.targets.json": older.to_bytes()}
    circle.served = resign(files, fresh, now=circle.now)
    circle.refused("list-rolled-back")


def test_the_longest_chain_of_roots_is_followed(circle: Circle) -> None:
    assert MAX_ROOTS >= 100  # a root lives three years
    for _ in range(5):
        circle.publish(propose(circle.latest, now=circle.now, renew_root=True))
    assert circle.read().versions["root"] == 6
    assert len([path for path in circle.held if path.endswith(".root.json")]) == 6


def test_a_hold_by_one_officer_counts_and_lapses_after_fourteen_days(circle: Circle) -> None:
    member = entry_of(new_signer())
    circle.change(add_member(member))
    officer = circle.officers[2]
    draft = place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now, reason="电话核实")
    circle.publish(draft, officer)
    found = circle.read()
    assert found.status_of(member.id, circle.now) == "suspended"
    assert found.status_of(member.id, circle.now + timedelta(days=14)) == "active"
    circle.pass_days(15)
    circle.resign()
    later = circle.read()
    assert (later.holds, later.status_of(member.id, circle.now)) == ((), "active")
    assert later.files == circle.served  # an ended hold is still passed on: the snapshot names it


def test_a_hold_can_be_lifted_and_is_never_taken_back(circle: Circle) -> None:
    member, officer = entry_of(new_signer()), circle.officers[0]
    circle.change(add_member(member))
    circle.publish(place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now), officer)
    held = dict(circle.served)
    circle.pass_days(0.5)
    circle.publish(lift_hold(circle.latest, member.id, now=circle.now), circle.officers[1])
    assert circle.read().status_of(member.id, circle.now) == "active"
    circle.served = _resigned_over(circle, held)
    circle.refused("list-rolled-back")


def test_a_hold_outlives_the_officer_who_placed_it(circle: Circle) -> None:
    member, officer = entry_of(new_signer()), circle.officers[2]
    circle.change(add_member(member))
    circle.publish(place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now), officer)
    circle.change(remove_officer(officer.public_key.keyid))
    assert circle.read().status_of(member.id, circle.now) == "suspended"


@pytest.mark.parametrize("who", ["hub", "stranger"])
def test_a_hold_by_somebody_else_is_refused(circle: Circle, who: str) -> None:
    member = entry_of(new_signer())
    circle.change(add_member(member))
    circle.read()
    liar = circle.hub if who == "hub" else new_signer()
    draft = place_hold(circle.latest, member.id, liar.public_key.keyid, now=circle.now)
    with pytest.raises(TrustError) as refused:
        circle.sign(draft, liar)
    assert refused.value.code == "officer-unknown"
    forged: Metadata[Any] = Metadata.from_bytes(draft.metadata["hold"])
    forged.sign(liar)
    files = {**circle.served, "1.hold.json": forged.to_bytes()}
    digest = forged.signed.targets["hold.json"].hashes["sha256"]
    files[f"targets/{digest}.hold.json"] = draft.files["hold.json"]
    circle.served = resign(files, circle.hub, now=circle.now)
    circle.refused("list-threshold")


def test_a_hold_of_more_than_fourteen_days_is_refused(circle: Circle) -> None:
    document = {
        "version": 1,
        "holds": [
            {
                "member": circle.latest.roll.hub,
                "since": "2027-01-01T00:00:00Z",
                "until": "2027-01-15T00:00:01Z",
                "officer": "ab" * 32,
                "reason": "",
            }
        ],
    }
    with pytest.raises(TrustError) as refused:
        read_holds(dump_document(document))
    assert refused.value.code == "hold-too-long"


def test_completing_checks_what_the_hub_signs(circle: Circle) -> None:
    draft = circle.sign(propose(circle.latest, now=circle.now))
    with pytest.raises(TrustError) as refused:
        complete(circle.latest, draft, new_signer(), now=circle.now)
    assert refused.value.code == "hub-key-not-listed"


def test_garbage_is_no_anchor() -> None:
    with pytest.raises(InputRefused) as refused:
        read_anchor(b"\x00")
    assert refused.value.code == "anchor-unreadable"


def test_three_thousand_members_stay_small_on_the_way() -> None:
    """One change moves one member file of 64; nothing changed moves two small files."""
    first, officers, hub = make_list(3_000, START)
    root, fetched = first.files["1.root.json"], dict[str, int]()

    def fetch_from(files: Mapping[str, bytes]) -> Callable[[str], bytes | None]:
        def fetch(path: str) -> bytes | None:
            fetched[path] = len(files.get(path, b""))
            return files.get(path)

        return fetch

    assert len(first.files) == 69
    assert sum(len(data) for data in first.files.values()) < 1_600_000
    resigned = resign(first.files, hub, now=START)
    refresh(root, first.files, fetch_from(resigned), federation=first.federation, now=START)
    assert (len(fetched), sum(fetched.values()) < 2_000) == (3, True)
    fetched.clear()
    draft = propose(first, suspend(next(each for each in first.members if each != first.roll.hub)), now=START)
    for officer in officers[:2]:
        draft = sign_draft(first, draft, officer, seen=read_outcome(first, draft))
    changed = complete(first, draft, hub, now=START)
    refresh(root, first.files, fetch_from(changed.files), federation=first.federation, now=START)
    assert (len(fetched), sum(fetched.values()) < 80_000) == (6, True)


def test_a_folder_that_cannot_be_written_is_told(circle: Circle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    with pytest.raises(StorageError) as refused:
        circle.read()
    assert refused.value.code == "list-folder"


def test_the_hub_is_held_by_nobody(circle: Circle) -> None:
    officer, hub = circle.officers[0], circle.latest.roll.hub
    circle.change(add_member(member := entry_of(new_signer())))
    draft = place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now)
    holds = read_holds(draft.files["hold.json"].replace(member.id.encode(), hub.encode()))
    found = replace(circle.read(), holds=holds)
    assert (holds[0].in_force(circle.now), found.status_of(hub, circle.now)) == (True, "active")


@pytest.mark.parametrize(
    ("officers", "hub"), [("ml-dsa-87/1", "ecdsa-sha2-nistp256"), ("ecdsa-sha2-nistp384", "ml-dsa-65/1")]
)
def test_the_list_is_signed_by_keys_of_any_algorithm(officers: str, hub: str) -> None:
    signers = [new_signer(officers) for _ in range(7)]
    circle = Circle(officers=signers, hub=new_signer(hub))
    circle.change(add_member(entry_of(new_signer("ml-dsa-44/1"))), set_threshold(5), signers=tuple(signers[:5]))
    circle.publish(propose(circle.latest, now=circle.now, renew_root=True), *signers)
    assert circle.read().versions["root"] == 3
    assert read_anchor(build_anchor(circle.latest.roll, circle.served["3.root.json"])).hub == circle.latest.roll.hub


def test_an_officer_and_a_hub_who_use_up_the_holds_are_both_replaced(circle: Circle) -> None:
    """They sign hold version 2^53; the others rotate both keys in one draft, and hold begins anew."""
    circle.change(add_member(member := entry_of(new_signer())))
    rogue = circle.officers[0]
    circle.publish(place_hold(circle.latest, member.id, rogue.public_key.keyid, now=circle.now), rogue)
    last = circle.forge("hold", lambda hold: setattr(hold, "version", 2**53), rogue)
    files = {path: data for path, data in circle.served.items() if path != "1.hold.json"}
    circle.served = resign({**files, f"{2**53}.hold.json": last}, circle.hub, now=circle.now)
    circle.latest = circle.read()
    with pytest.raises(GonghuiError) as used_up:
        lift_hold(circle.latest, member.id, now=circle.now)
    assert used_up.value.code == "list-versions-used-up"
    fresh = new_signer()
    rotated = rotate_key(circle.latest.roll.hub, public_pem(fresh.public_key))
    draft = propose(circle.latest, rotated, remove_officer(rogue.public_key.keyid), now=circle.now)
    circle.hub = fresh
    circle.publish(draft, *circle.officers[1:])
    assert circle.read().versions["hold"] == 1
    circle.pass_days(0.5)
    circle.publish(lift_hold(circle.latest, member.id, now=circle.now), circle.officers[1])
    assert circle.read().status_of(member.id, circle.now) == "active"


def test_a_snapshot_names_no_file_of_its_own(circle: Circle) -> None:
    def name_another(snapshot: Any) -> None:
        snapshot.version, snapshot.meta["later.json"] = 9, snapshot.meta["targets.json"]

    circle.served |= _naming_snapshot(circle, circle.forge("snapshot", name_another, circle.hub))
    circle.refused("list-shape")

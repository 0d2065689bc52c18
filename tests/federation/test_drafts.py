"""Drafts: who may sign what, how many are asked for, and what an officer is shown before."""

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tuf.api.metadata import Metadata

from federation.changes import (
    Change,
    add_key,
    add_member,
    add_officer,
    come_back,
    describe,
    hand_over,
    leave,
    merge,
    remove_officer,
    rename,
    rename_federation,
    replace_key,
    resume,
    retire_key,
    revoke_key,
    rotate_key,
    set_document,
    set_threshold,
    suspend,
)
from federation.differences import FIELDS, differences
from federation.documents import sha256_hex
from federation.drafts import (
    SIGNING_TIME,
    complete,
    found,
    lift_hold,
    merge_signatures,
    place_hold,
    progress,
    propose,
    read_draft,
    read_outcome,
    refound,
    sign_draft,
    state_of,
    write_draft,
)
from federation.editions import new_hold, resign
from federation.errors import GonghuiError
from federation.grants import write_grants
from federation.keys import new_identifier, public_pem
from federation.membership import refresh
from federation.metadata import role_of, target_name
from federation.officers import build_card, new_officer_key, read_card, read_officer_key
from federation.roll import KeyEntry, MemberEntry, write_holds
from tests.federation.conftest import START, Circle, entry_of, new_signer, officer_of


def _pem(signer: Any) -> str:
    return public_pem(signer.public_key)


def _put(entry: MemberEntry) -> Change:
    return lambda roll: roll.with_member(entry)


def _code(action: Callable[[], object]) -> str:
    with pytest.raises(GonghuiError) as refused:
        action()
    return refused.value.code


@pytest.fixture
def pair(circle: Circle) -> tuple[Circle, MemberEntry, MemberEntry]:
    one, two = entry_of(new_signer(), "甲学院", code="1"), entry_of(new_signer(), "乙学院", code="2")
    circle.change(add_member(one), add_member(two))
    return circle, one, two


def test_fewer_than_t_signatures_publish_nothing(circle: Circle) -> None:
    draft = propose(circle.latest, add_member(entry_of(new_signer())), now=circle.now)
    assert state_of(circle.latest, draft) == "proposed"
    one = circle.sign(draft, circle.officers[0])
    assert [(count.role, count.missing) for count in progress(circle.latest, one)] == [("targets", 1)]
    assert _code(lambda: complete(circle.latest, one, circle.hub, now=circle.now)) == "signatures-missing"
    again = circle.sign(one, circle.officers[0])
    assert _code(lambda: complete(circle.latest, again, circle.hub, now=circle.now)) == "signatures-missing"
    two = circle.sign(one, circle.officers[2])
    assert state_of(circle.latest, two) == "signed"
    assert complete(circle.latest, two, circle.hub, now=circle.now).versions["targets"] == 2


def test_a_draft_travels_as_a_file_and_signatures_are_joined(circle: Circle) -> None:
    draft = read_draft(write_draft(propose(circle.latest, rename_federation("新名"), now=circle.now)))
    one = read_draft(write_draft(circle.sign(draft, circle.officers[0])))
    two = read_draft(write_draft(circle.sign(draft, circle.officers[1])))
    joined = merge_signatures(circle.latest, one, two)
    assert joined == merge_signatures(circle.latest, two, one)
    assert complete(circle.latest, joined, circle.hub, now=circle.now).roll.name == "新名"


def test_joining_drops_a_signature_that_does_not_hold(circle: Circle) -> None:
    draft = propose(circle.latest, now=circle.now)
    one = circle.sign(draft, circle.officers[0])
    document = json.loads(circle.sign(draft, circle.officers[1]).metadata["targets"])
    document["signatures"][0]["sig"] = "00" * 64
    document["signatures"].append({"keyid": circle.officers[0].public_key.keyid, "sig": "11" * 64})
    spoilt = replace(draft, metadata={"targets": json.dumps(document).encode()})
    assert merge_signatures(circle.latest, one, spoilt) == merge_signatures(circle.latest, one, one)


def test_two_drafts_are_not_joined(circle: Circle) -> None:
    one = propose(circle.latest, rename_federation("甲"), now=circle.now)
    two = propose(circle.latest, rename_federation("乙"), now=circle.now)
    assert _code(lambda: merge_signatures(circle.latest, one, two)) == "draft-differs"


def test_an_overtaken_draft_is_outdated(circle: Circle) -> None:
    draft = circle.sign(propose(circle.latest, rename_federation("甲"), now=circle.now))
    circle.change(rename_federation("乙"))
    assert state_of(circle.latest, draft) == "outdated"
    assert _code(lambda: complete(circle.latest, draft, circle.hub, now=circle.now)) == "draft-outdated"


def test_an_officer_signs_only_what_was_shown(circle: Circle) -> None:
    shown = read_outcome(circle.latest, propose(circle.latest, rename_federation("甲"), now=circle.now))
    other = propose(circle.latest, rename_federation("乙"), now=circle.now)
    signer = circle.officers[0]
    assert _code(lambda: sign_draft(circle.latest, other, signer, seen=shown)) == "draft-changed"


@pytest.mark.parametrize("fault", ["target", "missing", "federation", "officers"])
def test_a_draft_that_hides_something_is_refused(circle: Circle, fault: str) -> None:
    member = entry_of(new_signer())
    draft = propose(circle.latest, add_member(member), now=circle.now)
    path = next(path for path in draft.files if path.startswith("members-"))
    if fault == "target":  # bytes that the metadata does not name
        draft = replace(draft, files=dict(draft.files) | {path: draft.files[path].replace(b"direct", b"relay")})
    elif fault == "missing":
        draft = replace(draft, files={})
    elif fault == "federation":
        draft = replace(draft, federation="f-" + "a" * 26)
    else:  # officers that the roll names, without the root that would make them officers
        whole = propose(circle.latest, add_officer(officer_of(new_signer())), now=circle.now)
        draft = replace(whole, metadata={"targets": whole.metadata["targets"]})
    code = _code(lambda: read_outcome(circle.latest, draft))
    assert code == {"federation": "list-federation", "officers": "list-officers"}.get(fault, "list-mixed")


def test_officers_come_and_go_by_old_and_new_signatures(circle: Circle) -> None:
    new = new_signer()
    gone = circle.officers[0]
    draft = propose(
        circle.latest, add_officer(officer_of(new, "新人")), remove_officer(gone.public_key.keyid), now=circle.now
    )
    half = circle.sign(draft, gone, new)  # one old officer and one new one: too few of each
    counts = [(count.role, count.missing) for count in progress(circle.latest, half)]
    assert counts == [("root", 1), ("root", 1), ("targets", 1), ("hold", 0)]
    assert _code(lambda: complete(circle.latest, half, circle.hub, now=circle.now)) == "signatures-missing"
    circle.publish(half, circle.officers[1])
    assert {officer.name for officer in circle.read().roll.officers} == {"签署人1", "签署人2", "新人"}
    after = propose(circle.latest, now=circle.now)
    assert _code(lambda: circle.sign(after, gone)) == "officer-unknown"


def test_an_officers_key_of_another_algorithm_signs_too(circle: Circle) -> None:
    new = read_officer_key(new_officer_key("口令", "ml-dsa-65/1"), "口令")
    circle.change(add_officer(read_card(build_card(new, "新人"))))
    circle.change(rename_federation("新名"), signers=(new, circle.officers[2]))
    assert circle.read().roll.name == "新名"


def test_a_lost_or_hostile_hub_is_replaced_by_the_officers_alone(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    circle.read()
    new = new_signer()
    old = circle.latest.roll.hub
    draft = propose(
        circle.latest,
        add_key(one.id, _pem(new)),
        hand_over(one.id, new.public_key.keyid),
        suspend(old),
        now=circle.now,
    )
    stale = circle.hub
    circle.hub = new
    circle.publish(draft)
    found = circle.read()
    assert (found.roll.hub, found.status_of(old, circle.now)) == (one.id, "suspended")
    circle.hub = stale  # the old machine goes on signing
    assert _code(circle.resign) == "hub-key-not-listed"
    circle.served["timestamp.json"] = circle.forge("timestamp", lambda t: setattr(t, "version", 9), stale)
    circle.refused("list-threshold")


def test_a_federation_founded_anew_keeps_members_and_names_where_it_comes_from(circle: Circle) -> None:
    officers = [new_signer() for _ in range(2)]
    roll = refound(
        circle.latest.roll, new_identifier("f"), tuple(officer_of(o, str(n)) for n, o in enumerate(officers)), 2
    )
    draft = found(roll, now=circle.now)
    for officer in officers:
        draft = sign_draft(None, draft, officer, seen=read_outcome(None, draft))
    new = complete(None, draft, circle.hub, now=circle.now)
    assert new.members == circle.latest.members
    assert new.federation != circle.federation
    with pytest.raises(GonghuiError):  # the old pinned root vouches for none of it
        refresh(circle.root, {}, new.files.get, federation=new.federation, now=circle.now)


@pytest.mark.parametrize(
    ("before", "action", "allowed"),
    [
        ([], suspend, True),
        ([], resume, False),
        ([], leave, True),
        ([], come_back, False),
        ([suspend], suspend, False),
        ([suspend], resume, True),
        ([suspend], leave, True),
        ([leave], resume, False),
        ([leave], suspend, False),
        ([leave], come_back, True),
    ],
)
def test_a_member_changes_only_as_its_state_allows(
    pair: tuple[Circle, MemberEntry, MemberEntry],
    before: list[Callable[[str], Change]],
    action: Callable[[str], Change],
    allowed: bool,  # noqa: FBT001
) -> None:
    circle, one, _ = pair
    changes = [change(one.id) for change in before]
    if allowed:
        propose(circle.latest, *changes, action(one.id), now=circle.now)
    else:
        assert _code(lambda: propose(circle.latest, *changes, action(one.id), now=circle.now)) == "state-forbids"


def test_the_hub_neither_leaves_nor_is_held(circle: Circle) -> None:
    hub = circle.latest.roll.hub
    assert _code(lambda: propose(circle.latest, suspend(hub), now=circle.now)) == "member-is-hub"
    officer = circle.officers[0].public_key.keyid
    assert _code(lambda: place_hold(circle.latest, hub, officer, now=circle.now)) == "member-is-hub"


def test_a_key_is_rotated_with_no_gap(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    old, new = one.keys[0].keyid, new_signer()
    circle.change(add_key(one.id, _pem(new)))
    both = circle.read().members[one.id]
    assert [key.keyid for key in both.active_keys] == [new.public_key.keyid, old]
    circle.change(retire_key(one.id, old))
    after = circle.read().members[one.id]
    assert [(key.keyid, key.status) for key in after.keys] == [(new.public_key.keyid, "active"), (old, "retired")]


def test_a_retired_key_says_since_when_for_all_readers(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    old, drafted = one.keys[0].keyid, circle.now
    draft = propose(circle.latest, add_key(one.id, _pem(new_signer())), retire_key(one.id, old), now=drafted)
    circle.pass_days(3)  # the officers take their time, and the key goes on in good order
    circle.publish(draft)
    circle.pass_days(3)
    circle.change(rename(one.id, "另一个名称"))
    assert circle.read().members[one.id].keys[1].retired_at == drafted + SIGNING_TIME, "and no later change moves it"
    circle.change(revoke_key(one.id, old, drafted))
    key = circle.read().members[one.id].keys[1]
    assert (key.status, key.revoked_at, key.retired_at) == ("revoked", drafted, None)


def test_a_draft_that_was_signed_after_its_keys_day_is_proposed_anew(
    pair: tuple[Circle, MemberEntry, MemberEntry],
) -> None:
    circle, one, _ = pair
    changes = add_key(one.id, _pem(new_signer())), retire_key(one.id, one.keys[0].keyid)
    draft = propose(circle.latest, *changes, now=circle.now)
    circle.pass_days(15)
    assert _code(lambda: circle.publish(draft)) == "draft-too-late"
    circle.publish(propose(circle.latest, *changes, now=circle.now))
    circle.pass_days(30)
    circle.change(rename(one.id, "另一个名称"))  # whose day is past long ago holds nothing up


def test_a_lost_key_is_revoked_at_a_time_before_its_discovery(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    stolen_at, new = START - timedelta(days=30), new_signer()
    circle.change(replace_key(one.id, _pem(new), stolen_at))
    keys = circle.read().members[one.id].keys
    assert [(key.status, key.revoked_at) for key in keys] == [("active", None), ("revoked", stolen_at)]
    earlier = stolen_at - timedelta(days=5)
    circle.change(revoke_key(one.id, one.keys[0].keyid, earlier))
    assert circle.read().members[one.id].keys[1].revoked_at == earlier


@pytest.mark.parametrize("owner", ["member", "officer", "hub"])
def test_a_key_has_one_owner(pair: tuple[Circle, MemberEntry, MemberEntry], owner: str) -> None:
    circle, one, two = pair
    pem = {"member": two.keys[0].pem, "officer": _pem(circle.officers[0]), "hub": _pem(circle.hub)}[owner]
    assert _code(lambda: propose(circle.latest, add_key(one.id, pem), now=circle.now)) == "list-key-twice"


def test_the_last_active_key_of_an_active_member_stays(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    change = retire_key(one.id, one.keys[0].keyid)
    assert _code(lambda: propose(circle.latest, change, now=circle.now)) == "member-without-key"


def test_a_school_is_renamed_and_two_are_merged(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, two = pair
    circle.change(rename(one.id, "甲职业大学"), merge(two.id, one.id))
    members = circle.read().members
    assert (members[one.id].name, members[one.id].code) == ("甲职业大学", "1")
    assert (members[two.id].status, members[two.id].merged_into) == ("left", one.id)


def test_what_an_older_program_does_not_know_is_kept(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair

    def of_a_later_version(roll: Any) -> Any:
        return replace(roll.with_member(replace(one, extra={"telephone": "x"})), extra={"charter": {"v": 2}})

    circle.change(of_a_later_version, set_document("later.json", b"{}"))
    circle.change(rename(one.id, "新名"))
    found = circle.read()
    assert (found.members[one.id].extra, found.roll.extra) == ({"telephone": "x"}, {"charter": {"v": 2}})
    assert found.document("later.json") == b"{}"


def test_documents_travel_with_the_list(circle: Circle) -> None:
    schema = b'{"$id":"urn:gonghui:schema:release.v2"}'
    circle.change(set_document("grants.json", b'{"grants":[]}'), set_document("schemas/release.v2.json", schema))
    found = circle.read()
    assert found.grants == b'{"grants":[]}'
    assert [(name, data) for name, data in found.schemas.values()] == [("release.v2", schema)]
    circle.change(set_document("grants.json", b""))
    assert circle.read().grants == b""


@pytest.mark.parametrize("path", ["index.json", "members-00.json", "hold.json"])
def test_a_document_takes_no_name_of_the_list(circle: Circle, path: str) -> None:
    assert _code(lambda: propose(circle.latest, set_document(path, b"{}"), now=circle.now)) == "document-path"


def test_every_field_of_a_member_has_words_and_every_change_is_told(
    pair: tuple[Circle, MemberEntry, MemberEntry],
) -> None:
    circle, one, two = pair
    assert set(FIELDS) == {field.name for field in fields(MemberEntry)} - {"id", "keys"}
    new: dict[str, Any] = {
        "name": "新名", "code": "9", "url": "https://x.example", "status": "suspended", "roles": ("aggregator",),
        "transport": "file", "groups": ("counties",), "sealing_key": "A" * 43 + "=", "parent": "行业",
        "merged_into": two.id, "extra": {"telephone": "x"},
    }  # fmt: skip
    assert set(new) == set(FIELDS)
    for name, value in new.items():
        draft = propose(circle.latest, _put(replace(one, **{name: value})), now=START)
        told = differences(circle.latest, read_outcome(circle.latest, draft))
        assert [difference.what for difference in told] == [f"member-{name}"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (rename_federation("新名"), ["federation-renamed"]),
        (set_threshold(1), ["threshold"]),
        (set_document("notes.json", b'{"a":1}'), ["document", *["document-line"] * 3]),
    ],
)
def test_changes_of_the_federation_are_told(circle: Circle, change: Change, what: list[str]) -> None:
    outcome = read_outcome(circle.latest, propose(circle.latest, change, now=circle.now))
    assert [difference.what for difference in differences(circle.latest, outcome)] == what


def test_grants_are_told_as_sentences_and_none_is_left_out(circle: Circle) -> None:
    """One reader too many among a hundred dataflows does not hide behind "and more"."""
    names = [f"X{chr(65 + number // 10)}{chr(65 + number % 10)}.all" for number in range(100)]
    kinds = [{"kind": "release", "by": ["all"]}]
    narrow = [{"dataflow": name, "readers": ["hub"], "level": "nodes"} for name in names]
    circle.change(set_document("grants.json", write_grants(narrow, kinds)))
    wide = [{**line, "readers": ["group:counties"]} for line in narrow[:-1]] + [{**narrow[-1], "readers": ["all"]}]
    draft = propose(circle.latest, set_document("grants.json", write_grants(wide, kinds)), now=circle.now)
    told = differences(circle.latest, read_outcome(circle.latest, draft))
    assert [item.what for item in told].count("grant-given") == [item.what for item in told].count("grant-taken") == 100
    said = {item.text.en.strip() for item in told}
    assert "from now on: every member may read each node's figures of XJJ.all" in said
    assert "no longer: the hub may read each node's figures of XAA.all" in said
    fresh = propose(circle.latest, set_document("grants.json", write_grants(wide, [])), now=circle.now)
    assert "　不再允许：全体成员签发 release 类条目" in {
        item.text.zh for item in differences(circle.latest, read_outcome(circle.latest, fresh))
    }


def test_a_change_of_a_document_is_told_line_by_line(circle: Circle) -> None:
    circle.change(set_document("notes.json", b'{"level":"college"}'))
    draft = propose(circle.latest, set_document("notes.json", b'{"level":"person"}'), now=circle.now)
    told = differences(circle.latest, read_outcome(circle.latest, draft))
    assert [difference.text.en.strip() for difference in told[1:]] == ['- "level": "college"', '+ "level": "person"']


def test_a_new_member_is_shown_with_its_key_in_words(circle: Circle) -> None:
    member = entry_of(new_signer(), "甲学院", code="12345")
    draft = propose(circle.latest, add_member(member), now=circle.now + timedelta(days=1))
    told = differences(circle.latest, read_outcome(circle.latest, draft))
    assert told[0].what == "member-added"
    assert {"member-code", "key-active", "targets-valid-until"} <= {difference.what for difference in told}
    assert any(member.keys[0].keyid[:16] in difference.text.en for difference in told)


def test_holds_officers_and_keys_are_told(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    officer = circle.officers[0].public_key.keyid
    hold = place_hold(circle.latest, one.id, officer, now=circle.now, reason="核实中")
    assert [d.what for d in differences(circle.latest, read_outcome(circle.latest, hold))] == ["hold-placed"]
    circle.publish(hold, circle.officers[0])
    lifted = lift_hold(circle.latest, one.id, now=circle.now)
    assert [d.what for d in differences(circle.latest, read_outcome(circle.latest, lifted))] == ["hold-lifted"]
    draft = propose(
        circle.latest,
        remove_officer(officer),
        rotate_key(one.id, _pem(new_signer())),
        now=circle.now + timedelta(days=1),
    )
    told = {difference.what for difference in differences(circle.latest, read_outcome(circle.latest, draft))}
    assert {"officer-removed", "threshold", "key-active", "key-retired", "root-valid-until"} <= told


def test_what_is_shown_hides_nothing_on_a_screen(circle: Circle) -> None:
    member = entry_of(new_signer(), "甲\u202e学院\x1b[2J")
    outcome = read_outcome(circle.latest, propose(circle.latest, add_member(member), now=circle.now))
    shown = "".join(difference.text.zh + difference.text.en for difference in differences(circle.latest, outcome))
    assert not set(shown) & {"\u202e", "\x1b"}
    assert "\\u202e" in shown


def test_a_founding_shows_everything(circle: Circle) -> None:
    draft = found(circle.latest.roll, now=circle.now)
    told = {difference.what for difference in differences(None, read_outcome(None, draft))}
    assert {"federation-founded", "hub", "hub-key", "officer-added", "threshold", "member-added"} <= told


def test_describing_takes_no_field_that_has_its_own_change(circle: Circle) -> None:
    with pytest.raises(ValueError, match="status"):
        describe(circle.latest.roll.hub, status="left")


def test_an_officers_card_and_key(circle: Circle) -> None:
    pem = new_officer_key("口令")
    assert b"ENCRYPTED" in pem
    assert _code(lambda: read_officer_key(pem, "别的")) == "key-unreadable"
    assert _code(lambda: read_officer_key(pem)) == "key-unreadable"
    card = build_card(read_officer_key(pem, "口令"), "张三")
    assert read_card(card).name == "张三"
    other = json.loads(card) | {"public": _pem(circle.hub)}
    assert _code(lambda: read_card(json.dumps(other).encode())) == "key-not-signer"
    assert _code(lambda: read_card(b"{}")) == "officer-card-unreadable"


def test_a_hold_names_the_officer_who_signs_it(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    circle, one, _ = pair
    draft = place_hold(circle.latest, one.id, circle.officers[0].public_key.keyid, now=circle.now)
    by_another = circle.sign(draft, circle.officers[1])
    assert _code(lambda: complete(circle.latest, by_another, circle.hub, now=circle.now)) == "hold-officer"


def test_one_officer_outdates_nothing_that_t_officers_sign(pair: tuple[Circle, MemberEntry, MemberEntry]) -> None:
    """Neither a change of members nor the rogue's own removal, whatever holds come between the signatures."""
    circle, one, two = pair
    rogue, *good = circle.officers
    keyid = rogue.public_key.keyid
    changes = ([rename(one.id, "改名")], [remove_officer(keyid), set_threshold(2)])
    for held, change in zip((one, two), changes, strict=True):
        draft = circle.sign(propose(circle.latest, *change, now=circle.now), good[0])
        circle.publish(place_hold(circle.latest, held.id, keyid, now=circle.now), rogue)
        circle.publish(lift_hold(circle.latest, held.id, now=circle.now), rogue)
        assert state_of(circle.latest, draft) == "proposed"
        circle.publish(draft, good[1])
        assert circle.read().versions == circle.latest.versions
    assert keyid not in {officer.keyid for officer in circle.latest.roll.officers}
    assert circle.latest.roll.members[one.id].name == "改名"
    outdated = circle.sign(place_hold(circle.latest, one.id, good[0].public_key.keyid, now=circle.now), good[0])
    circle.publish(place_hold(circle.latest, two.id, good[1].public_key.keyid, now=circle.now), good[1])
    assert _code(lambda: complete(circle.latest, outdated, circle.hub, now=circle.now)) == "draft-outdated"


def test_one_officer_holds_a_member_once_until_t_officers_change_the_list(
    pair: tuple[Circle, MemberEntry, MemberEntry],
) -> None:
    circle, one, two = pair
    rogue = circle.officers[0]
    keyid = rogue.public_key.keyid
    circle.publish(place_hold(circle.latest, one.id, keyid, now=circle.now), rogue)
    circle.read()
    circle.pass_days(13)

    def renew() -> str:
        return _code(lambda: place_hold(circle.latest, one.id, keyid, now=circle.now))

    assert renew() == "hold-renewed"
    circle.publish(lift_hold(circle.latest, one.id, now=circle.now), rogue)
    assert circle.read().status_of(one.id, circle.now) == "active"
    assert renew() == "hold-renewed", "also where it was lifted"
    circle.pass_days(15)
    circle.resign()
    circle.latest = circle.read()
    assert (circle.latest.holds, renew()) == ((), "hold-renewed"), "and where its file has expired"
    circle.publish(place_hold(circle.latest, two.id, keyid, now=circle.now), rogue)
    circle.read()
    circle.change(rename(two.id, "改名"))  # t officers have seen it
    circle.publish(place_hold(circle.latest, one.id, keyid, now=circle.now), rogue)
    assert circle.read().status_of(one.id, circle.now) == "suspended"


@pytest.mark.parametrize("lie", ["renewed", "taken back", "another edition", "no edition"])
def test_a_reader_refuses_what_one_officer_and_a_hub_make_of_a_hold(
    pair: tuple[Circle, MemberEntry, MemberEntry], lie: str
) -> None:
    circle, one, two = pair
    rogue = circle.officers[0]
    circle.publish(place_hold(circle.latest, one.id, rogue.public_key.keyid, now=circle.now), rogue)
    circle.read()
    circle.pass_days(10)
    (held,) = circle.latest.placed
    renewed = replace(held, since=circle.now, until=circle.now + timedelta(days=14))
    edition = {"another edition": held.targets + 1, "no edition": 0}.get(lie, held.targets)
    lies = {"renewed": [renewed], "taken back": []}
    data = write_holds(lies.get(lie, [held, replace(renewed, member=two.id, targets=edition)]))
    metadata = Metadata[Any].from_bytes(new_hold(data, 2, circle.now))
    metadata.sign(rogue)
    files = {path: content for path, content in circle.served.items() if role_of(path) != "hold"}
    name = target_name("hold.json", sha256_hex(data))
    circle.served = resign({**files, "2.hold.json": metadata.to_bytes(), name: data}, circle.hub, now=circle.now)
    circle.refused("hold-edition" if "edition" in lie else "hold-renewed")


def test_a_members_key_of_an_algorithm_to_come_takes_the_list_from_nobody(
    pair: tuple[Circle, MemberEntry, MemberEntry],
) -> None:
    circle, one, two = pair
    key = rsa.generate_private_key(65537, 2048).public_key()  # not one of the algorithms used here
    unknown = KeyEntry("ab" * 32, key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())
    circle.change(_put(replace(one, keys=(unknown, *one.keys))))
    found = circle.read()
    assert [key.keyid for key in found.members[one.id].active_keys] == ["ab" * 32, one.keys[0].keyid]
    stranger = replace(one, id=new_identifier("n"), keys=(replace(unknown, keyid="cd" * 32),))
    assert _code(lambda: propose(circle.latest, add_member(stranger), now=circle.now)) == "key-type"
    squatter = replace(two, keys=(replace(unknown, keyid=one.keys[0].keyid), *two.keys))
    assert _code(lambda: propose(circle.latest, _put(squatter), now=circle.now)) == "list-key-twice"


def test_who_is_resumed_by_all_is_held_by_none_and_no_hold_outdates_that(circle: Circle) -> None:
    member, other = (entry_of(new_signer(), name) for name in ("甲学院", "乙学院"))
    circle.change(add_member(member), add_member(other))
    one = circle.officers[2]
    circle.publish(place_hold(circle.latest, member.id, one.public_key.keyid, now=circle.now), one)
    circle.change(suspend(member.id))
    circle.read()
    draft = propose(circle.latest, resume(member.id), now=circle.now)
    circle.publish(place_hold(circle.latest, other.id, one.public_key.keyid, now=circle.now), one)
    circle.publish(draft)
    assert circle.read().status_of(member.id, circle.now) == "active"

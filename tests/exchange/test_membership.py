"""The member list at nodes: founded, joined, changed, refreshed, refused; the old one stays and nothing is lost."""

# ruff: noqa: F811  fixtures are imported

import io
import json
from dataclasses import replace
from typing import Any

import httpx
import pytest
from securesystemslib.signer import Signer
from sqlmodel import select

from federation.acceptance import Verdict, read_signed_record
from federation.anchor import read_anchor
from federation.changes import add_officer, hand_over, rename, retire_key, suspend
from federation.drafts import place_hold, propose, read_draft, read_outcome, sign_draft, write_draft
from federation.enrolment import Applicant, build_request
from federation.errors import Conflict, InputRefused, TrustError
from federation.keys import new_identifier, new_private_pem, public_pem, read_signer, write_private_file
from federation.officers import build_card
from federation.roll import Officer
from federation.spoken import spoken
from node.exchange import desk, enrolling, federating, rotation
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.cosigning import active_members
from node.exchange.listing import list_standing
from node.exchange.refreshing import note_versions
from node.officer.changes import changes_of
from node.officer.work import gather
from node.stream.memberlist import load_list_files
from node.stream.models import Federation, Peer, StoredRecord, WaitingDocument
from node.stream.service import find_member
from tests.exchange.conftest import stranger
from tests.exchange.federated import ACTOR, Union, union  # noqa: F401  fixtures
from tests.sync.conftest import Net, net  # noqa: F401  fixtures


def test_a_college_joins_from_the_anchor_alone_and_exchanges(union: Union) -> None:
    college = union.enrol()
    other = union.enrol()
    record = union.net.world.append(college, 1)
    for node in (college, other):
        assert [result.code for result in union.net.run(node)] == [""]
    with other.database.read() as session:
        assert session.get(StoredRecord, record.id) is not None
        assert {peer.id for peer in session.exec(select(Peer).where(Peer.federation == union.federation))} == {
            union.hub.node_id,
            college.node_id,
        }


def test_two_officers_are_needed_and_a_stranger_is_none(union: Union) -> None:
    college = union.enrol()
    draft = propose(union.held(), suspend(college.node_id), now=union.hub.clock())
    with pytest.raises(TrustError, match="officer-unknown"):
        desk.receive_draft(union.hub, write_draft(draft), {})
    with pytest.raises(TrustError, match="officer-unknown"):
        sign_draft(union.held(), draft, stranger(), seen=read_outcome(union.held(), draft))
    usurper = stranger()
    theirs = propose(union.held(), add_officer(Officer("x", public_pem(usurper.public_key))), now=union.hub.clock())
    theirs = sign_draft(union.held(), theirs, usurper, seen=read_outcome(union.held(), theirs))
    with pytest.raises(TrustError, match="officer-unknown"):  # an officer of the stranger's own root alone
        desk.receive_draft(union.hub, write_draft(theirs), {})
    assert union.publish(draft, union.officers[0]) == "proposed"
    assert union.held().status_of(college.node_id, union.hub.clock()) == "active"
    assert union.publish(draft, union.officers[0]) == "proposed"  # the same again counts once
    assert union.publish(draft, union.officers[2]) == "published"
    refused = union.net.world.post("ping", b"[" + union.net.world.request(college, "ping", {}) + b"]")
    assert refused.json()["code"] == "member-suspended"


def test_a_draft_is_outdated_once_another_is_published(union: Union) -> None:
    college = union.enrol()
    first = propose(union.held(), rename(college.node_id, "甲大学"), now=union.hub.clock())
    union.publish(first, union.officers[0])
    union.change(rename(college.node_id, "乙大学"))
    assert union.drafts() == []
    with pytest.raises(Conflict, match="draft-outdated"):
        union.publish(first, union.officers[1])


def test_a_hold_leaves_half_signed_drafts_at_the_desk(union: Union) -> None:
    college, other = union.enrol(), union.enrol()
    rogue, *good = union.officers
    draft = propose(union.held(), suspend(college.node_id), now=union.hub.clock())
    assert union.publish(draft, good[0]) == "proposed"
    hold = place_hold(union.held(), other.node_id, rogue.public_key.keyid, now=union.hub.clock())
    assert union.publish(hold, rogue) == "published"
    assert [row.state for row in union.drafts()] == ["proposed"]
    assert union.publish(draft, good[1]) == "published"


def test_a_hold_by_one_officer_counts_until_it_lapses_by_the_clock_alone(union: Union) -> None:
    """No refresh is needed for it to end: neither at the hub, nor at a college that reaches nobody."""
    world = union.net.world
    college, other = union.enrol(), union.enrol()
    keyid = union.officers[0].public_key.keyid
    draft = place_hold(union.held(), college.node_id, keyid, now=union.hub.clock())
    assert union.publish(draft, union.officers[0]) == "published"
    assert union.refresh(other) == ""
    record = world.append(college, 1)
    world.clock.forward(days=13, hours=23)
    request = world.request(college, "ping", {})
    assert world.post("ping", b"[" + request + b"]").json()["code"] == "member-suspended"
    for reader in (union.hub, other):
        outcome = world.receive(reader, record.envelope)
        assert (outcome.verdict, outcome.code) == (Verdict.REFUSED, "member-suspended")
        with reader.database.read() as session:
            federation = session.get_one(Federation, union.federation)
            assert college.node_id not in active_members(session, reader, federation)
    world.clock.forward(hours=1)
    assert world.ask(college, "ping", {}).body["membership"]["hold"] == 1
    for reader in (union.hub, other):
        assert world.receive(reader, record.envelope).verdict is Verdict.ACCEPTED
        with reader.database.read() as session:
            federation = session.get_one(Federation, union.federation)
            assert college.node_id in active_members(session, reader, federation)


def test_what_a_liar_serves_is_refused_and_the_old_list_stays(union: Union) -> None:
    college = union.enrol()
    with college.database.read() as session:
        before = load_list_files(session, union.federation)
    union.change(rename(college.node_id, "新名"))

    def lie(request: httpx.Request) -> httpx.Response | None:
        if request.url.path.endswith(".targets.json"):
            body = httpx.ByteStream(b'{"signed":{},"signatures":[]}')
            return httpx.Response(200, headers={"content-type": "application/json"}, stream=body)
        return None

    union.net.faults["hub"] = lie
    assert union.refresh(college) == "list-shape"
    with college.database.read() as session:
        assert load_list_files(session, union.federation) == before
    assert union.state(college).error == "list-shape"
    union.net.faults.clear()
    assert union.refresh(college) == ""
    assert union.held(college).members[college.node_id].name == "新名"


def test_what_comes_after_expiry_waits_and_goes_through_after_the_refresh(union: Union) -> None:
    world, clock = union.net.world, union.net.world.clock
    college = union.enrol()
    clock.forward(days=46)
    record = world.append(college, 1)
    outcome = world.receive(union.hub, record.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.WAITING, "list-expired")
    with union.hub.database.read() as session:
        assert session.get(StoredRecord, record.id) is None
        assert session.get(WaitingDocument, record.id) is not None
    assert union.refresh(union.hub) == ""  # the hub signs its own anew
    union.net.run(college)
    assert [state for _, state, _ in world.states(union.hub) if state == "current"]
    with union.hub.database.read() as session:
        assert session.get_one(StoredRecord, record.id).state == "current"
        assert session.get(WaitingDocument, record.id) is None


def test_a_key_is_rotated_with_no_gap_and_a_lost_one_replaced(union: Union) -> None:
    college = union.enrol()
    old = college.signer.public_key.keyid
    write_private_file(college.folder / "node.key", b"unused")
    sent = rotation.request_rotation(college, ACTOR, connect=union.net.connect)
    assert (sent.state, sent.key.keyid != old) == ("pending", True)
    assert union.approve(college) == "published"
    assert union.refresh(college) == ""
    assert rotation.adopt_if_listed(college, ACTOR)
    turned = replace(college, signer=read_signer((college.folder / "node.key").read_bytes()))
    for node in (college, turned):  # both speak: the running node may be restarted at any time
        assert union.net.world.ask(node, "ping", {}).body["membership"]
    assert union.change(retire_key(college.node_id, old)) == "published"
    refused = union.net.world.post("ping", b"[" + union.net.world.request(college, "ping", {}) + b"]")
    assert refused.json()["code"] == "key-retired"
    lost = replace(turned, signer=read_signer(new_private_pem()))
    assert rotation.request_replacement(lost, ACTOR, connect=union.net.connect).state == "pending"
    assert union.approve(lost) == "published"
    assert union.net.world.ask(lost, "ping", {}).body["membership"]
    refused = union.net.world.post("ping", b"[" + union.net.world.request(turned, "ping", {}) + b"]")
    assert refused.json()["code"] == "key-revoked"


def test_a_rotation_without_the_present_key_is_refused(union: Union) -> None:
    college = union.enrol()
    thief = read_signer(new_private_pem())
    file = build_request(
        thief, enrolling.own_applicant(college), federation=union.federation, kind="rotate", at=college.clock()
    )
    with pytest.raises(TrustError, match="rotation-unsigned"):
        changes_of(union.held(), file)


def test_a_hub_that_withholds_a_change_is_found_out_by_another_members_answer(union: Union) -> None:
    college, other, third = union.enrol(), union.enrol(server={"public_url": "http://other"}), union.enrol()
    union.refresh(college)
    union.net.listen(other, "other")
    withheld = dict(union.held().files)
    union.change(suspend(third.node_id))
    assert union.refresh(other) == ""

    def freeze(request: httpx.Request) -> httpx.Response | None:
        path = request.url.path.removeprefix("/exchange/v1/membership/")
        if path == request.url.path:
            return None
        kind = {"content-type": "application/json"}
        if path not in withheld:
            return httpx.Response(404, headers=kind, stream=httpx.ByteStream(b"{}"))
        return httpx.Response(200, headers=kind, stream=httpx.ByteStream(withheld[path]))

    union.net.faults["hub"] = freeze
    for _ in range(2):  # first by the other's signed word, whose list is taken; then the hub's own is older
        union.refresh(college)
    assert union.held(college).status_of(third.node_id, college.clock()) == "suspended"
    assert union.state(college).error == "list-rolled-back"
    with college.database.read() as session:
        federation = session.get_one(Federation, union.federation)
        told = list_standing(session, college.node_id, federation, college.clock())
    assert told is not None
    assert [(item["code"], item["serious"]) for item in told["warnings"]] == [("list-rolled-back", True)]


def test_one_who_names_a_version_that_it_does_not_serve_alarms_once(union: Union) -> None:
    """And one who serves nothing alarms for 14 days."""
    college, liar = union.enrol(), union.enrol(server={"public_url": "http://liar"})
    union.refresh(college)
    union.refresh(liar)
    with college.database.read() as session:
        peer = session.get_one(Peer, (union.federation, liar.node_id))
    claim: dict[str, object] = {"membership": {"targets": 2**53 - 1}}
    note_versions(college, peer, claim)
    assert union.refresh(college) == "list-frozen", "nobody there to be asked"
    union.net.listen(liar, "liar")
    assert union.refresh(college) == ""
    del union.net.apps["liar"]
    note_versions(college, peer, claim)
    for days, code in ((13, "list-frozen"), (2, "")):
        union.net.world.clock.forward(days=days)
        union.refresh(union.hub)
        assert union.refresh(college) == code


def test_the_hub_is_handed_over_with_the_old_machine_gone(union: Union) -> None:
    college, heir = union.enrol(), union.enrol(server={"public_url": "http://heir"})
    union.refresh(college)
    union.net.listen(heir, "heir")
    union.refresh(heir)
    held = union.held(heir)
    draft = propose(held, hand_over(heir.node_id, heir.signer.public_key.keyid), now=heir.clock())
    for signer in union.officers[:2]:
        signed = sign_draft(held, draft, signer, seen=read_outcome(held, draft))
        told = desk.receive_draft(heir, write_draft(signed), union.net.world.handlers)
    assert told["state"] == "published"
    union.net.faults["hub"] = lambda _: (_ for _ in ()).throw(httpx.ConnectError("gone"))
    assert union.refresh(college) == ""
    with college.database.read() as session:
        assert session.get_one(Federation, union.federation).hub_id == heir.node_id
    record = union.net.world.append(college, 1)
    assert [result.peer_id for result in union.net.run(college) if not result.code] == [heir.node_id]
    with heir.database.read() as session:
        assert session.get_one(StoredRecord, record.id).state == "current"


def test_strangers_requests_are_capped_and_proven(union: Union) -> None:
    federation = union.federation
    applicant = Applicant(new_identifier("n"), "某学院")
    for _ in range(desk.MAX_OF_ONE + 1):  # the oldest goes
        file = build_request(stranger(), applicant, federation=federation, kind="join", at=union.hub.clock())
        assert union.net.world.post("join", file).json()["state"] == "pending"
    assert desk.drop_request(union.hub, ACTOR, applicant.id) == desk.MAX_OF_ONE
    assert union.net.world.post("join", file).json()["state"] == "dropped"
    with pytest.raises(InputRefused, match="request-unknown"):
        desk.drop_request(union.hub, ACTOR, new_identifier("n"))
    changed = file.replace(b'"public": "', b'"public": "-')
    assert union.net.world.post("join", changed).json()["code"] == "request-unreadable"
    other = json.loads(build_request(stranger(), applicant, federation=federation, kind="join", at=union.hub.clock()))
    forged = {**json.loads(file), "public": other["public"]}
    assert union.net.world.post("join", json.dumps(forged).encode()).json()["code"] == "key-not-signer"
    assert union.net.world.post("join", b"x" * 40_000).status_code in {413, 422}


def _open_requests(union: Union) -> list[dict[str, Any]]:
    with union.hub.database.read() as session:
        return [item for item in desk.list_requests(session) if item["state"] in {"pending", "proposed"}]


def test_strangers_neither_lock_a_member_out_nor_fill_the_desk(union: Union, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "MAX_PENDING", 5)
    college, clock = union.enrol(), union.net.world.clock
    applicant = enrolling.own_applicant(college)

    def ask(kind: str, who: Applicant, present: Signer | None = None) -> str:
        signer = stranger()
        file = build_request(signer, who, federation=union.federation, kind=kind, at=clock(), present=present)
        return str(desk.receive_request(union.hub, file)["state"])

    for kind in ("replace", "rotate", "join", "rotate"):
        clock.forward(minutes=1)
        assert ask(kind, applicant) == "pending"
    assert ask("rotate", applicant, college.signer) == "pending", "its own has room of its own"
    for _ in range(8):
        clock.forward(minutes=1)
        assert ask("join", Applicant(new_identifier("n"), "某学院")) == "pending"
    assert [item["kind"] for item in _open_requests(union) if item["cosigned"]] == ["rotate"]
    assert len([item for item in _open_requests(union) if not item["cosigned"]]) == 5
    clock.forward(days=15)
    assert ask("join", Applicant(new_identifier("n"), "另一学院")) == "pending"
    assert [item["name"] for item in _open_requests(union) if not item["cosigned"]] == ["另一学院"]
    draft, _ = gather(union.held(), _Desk(union), [college.node_id], union.hub.clock())
    assert union.publish(draft) == "published"


def test_a_request_takes_the_place_of_the_earlier_one_by_the_same_key(union: Union) -> None:
    world = union.net.world
    college = replace(world.make(), clock=world.clock)
    first = union.ask(college).file
    world.clock.forward(minutes=1)
    assert union.ask(college).file != first
    desk.receive_request(union.hub, first)  # sent again by somebody else
    assert [item["file"].encode() != first for item in _open_requests(union)] == [True]
    draft, _ = gather(union.held(), _Desk(union), [college.node_id], union.hub.clock())
    assert union.publish(draft, union.officers[0]) == "proposed"
    assert union.ask(college).state == "proposed", "the draft grants the same"
    assert union.publish(draft, union.officers[1]) == "published"


class _Desk:
    """The hub's desk, in process."""

    def __init__(self, union: Union) -> None:
        self.hub = union.hub

    def find(self, name: str) -> bytes | None:
        return desk.describe(self.hub, name)

    def fetch(self, path: str) -> bytes | None:
        raise NotImplementedError

    def hand_in(self, draft: bytes) -> dict[str, Any]:
        raise NotImplementedError


def test_a_federation_is_founded_anew_and_colleges_confirm_by_fingerprint(union: Union) -> None:
    college = union.enrol()
    record = union.net.world.append(college, 1)
    union.net.run(college)
    old, handlers = union.federation, union.net.world.handlers
    old_anchor = federating.read_anchor_file(union.hub, ["http://hub"])
    anew = [read_signer(new_private_pem()) for _ in range(2)]
    cards = [build_card(signer, f"新管理员{n}") for n, signer in enumerate(anew)]
    draft = read_draft(federating.refound_federation(union.hub, ACTOR, cards, 2).file)
    for signer in anew:
        signed = sign_draft(None, draft, signer, seen=read_outcome(None, draft))
        told = desk.receive_draft(union.hub, write_draft(signed), handlers)
    assert told["state"] == "published"
    data = federating.read_anchor_file(union.hub, ["http://hub"])
    anchor = read_anchor(data)
    assert (anchor.formerly, anchor.federation != old) == (old, True)

    def ask(fingerprint: str, instead_of: str) -> enrolling.Sent:
        return enrolling.request_to_join(
            college, ACTOR, data, handlers, confirmed=fingerprint, instead_of=instead_of, connect=union.net.connect
        )

    words = spoken(anchor.fingerprint)
    for said, ends, code in (
        ("", old, "anchor-unconfirmed"),
        ("0" * 64, old, "anchor-fingerprint"),
        (words, "", "anchor-unconfirmed"),  # another federation's people can name this one in their anchor, too
    ):
        with pytest.raises(TrustError, match=code):
            ask(said, ends)
    assert ask(words, old).state == "listed"
    with pytest.raises(Conflict, match="federation-succeeded"):
        enrolling.request_to_join(college, ACTOR, old_anchor, handlers, connect=union.net.connect)
    standing = enrolling.standing(college, ACTOR, handlers, connect=union.net.connect)
    assert (standing.state, standing.federation.id) == ("active", anchor.federation)
    with union.hub.database.read() as session:  # what was said in the old one is verifiable by the old list
        kept = session.get_one(StoredRecord, record.id)
        former = session.get_one(Federation, old)
        found, _ = read_signed_record(kept.envelope, lambda keyid: find_member(session, union.hub, former, keyid))
    assert (found.id, found.federation) == (record.id, old)


def test_a_college_with_no_network_joins_by_stick(union: Union) -> None:
    college = replace(union.net.world.make(), clock=union.net.world.clock)
    handlers = union.net.world.handlers
    union.net.faults["hub"] = lambda _: (_ for _ in ()).throw(httpx.ConnectError("no network"))
    sent = union.ask(college)
    assert sent.sent_to == ""
    assert desk.take_file(union.hub, ACTOR, sent.file, handlers)["state"] == "pending"
    assert union.approve(college) == "published"
    bundle = export_bundle(union.hub, ACTOR, college.node_id)
    taken = import_bundle(college, ACTOR, io.BytesIO(b"".join(bundle.parts())), handlers)
    assert not taken.codes
    standing = enrolling.standing(college, ACTOR, handlers, connect=union.net.connect)
    assert (standing.state, standing.members) == ("active", 2)
    record = union.net.world.append(college, 1)
    back = export_bundle(college, ACTOR, union.hub.node_id)
    import_bundle(union.hub, ACTOR, io.BytesIO(b"".join(back.parts())), handlers)
    with union.hub.database.read() as session:
        assert session.get_one(StoredRecord, record.id).state == "current"


def test_a_member_that_goes_another_way_asks_again_and_is_listed_anew(union: Union) -> None:
    college = union.enrol(exchange={"transport": "direct"})
    college.settings.exchange.__dict__["transport"] = "relay"
    assert union.ask(college).state == "pending"
    union.approve(college)
    assert union.held().members[college.node_id].transport == "relay"
    assert union.ask(college).state == "listed"

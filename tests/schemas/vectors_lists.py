"""The vectors of the member list: TUF metadata as a hub serves it, and what a reader says who holds another edition.

    {"as": "list", "held": [lists that were read before, in order], "given": what is served, as {path: text}}

Root is pinned from `valid-list`. Two of the three officers of `keys.json` sign root and targets.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from securesystemslib.signer import Signer
from tuf.api.metadata import Metadata

from federation.changes import Change, key_entry, suspend
from federation.documents import read_time
from federation.drafts import complete, found, place_hold, propose, read_outcome, sign_draft
from federation.editions import resign
from federation.keys import public_pem
from federation.listfile import write_list_file
from federation.membership import MemberList
from federation.metadata import role_of, version_in
from federation.roll import MemberEntry, Officer, Roll
from tests.schemas.vectors import CURVE, ED, FEDERATION, HUB, LATTICE, NOW, OFFICERS, Actor, Writer

DAY = timedelta(days=1)
START = read_time(NOW) - 2 * DAY


def _entry(actor: Actor, **more: Any) -> MemberEntry:
    return MemberEntry(actor.id, f"学院 {actor.name}", (key_entry(public_pem(actor.signer.public_key)),), **more)


def _first_roll(federation: str) -> Roll:
    officers = tuple(Officer(actor.name, public_pem(actor.signer.public_key)) for actor in OFFICERS)
    hub = _entry(HUB, roles=("hub",), url="https://hub.example.edu.cn")
    members = {actor.id: _entry(actor) for actor in (ED, CURVE, LATTICE)} | {HUB.id: hub}
    return Roll(federation, "示例联合体", HUB.id, HUB.signer.public_key.keyid, officers, 2, members)


@dataclass
class Editions:
    """Lists one after another, each signed by two officers a day after the one before."""

    federation: str = FEDERATION
    latest: MemberList = field(init=False)
    days: int = 0

    def __post_init__(self) -> None:
        draft = found(_first_roll(self.federation), now=START)
        for officer in OFFICERS[:2]:
            draft = sign_draft(None, draft, officer.signer, seen=read_outcome(None, draft))
        self.latest = complete(None, draft, HUB.signer, now=START)

    def change(self, *changes: Change, renew_root: bool = False) -> dict[str, bytes]:
        self.days += 1
        now = START + self.days * DAY / 8
        draft = propose(self.latest, *changes, now=now, renew_root=renew_root)
        for officer in OFFICERS[:2]:
            draft = sign_draft(self.latest, draft, officer.signer, seen=read_outcome(self.latest, draft))
        self.latest = complete(self.latest, draft, HUB.signer, now=now)
        return dict(self.latest.files)

    def hold(self, member: Actor) -> dict[str, bytes]:
        self.days += 1
        now, officer = START + self.days * DAY / 8, OFFICERS[2].signer
        draft = place_hold(self.latest, member.id, officer.public_key.keyid, now=now, reason="核实中")
        draft = sign_draft(self.latest, draft, officer, seen=read_outcome(self.latest, draft))
        self.latest = complete(self.latest, draft, HUB.signer, now=now)
        return dict(self.latest.files)


def _newest(files: Mapping[str, bytes], role: str) -> str:
    return max((path for path in files if role_of(path) == role), key=version_in)


def _forged(files: Mapping[str, bytes], role: str, edit: Callable[[Any], None], *signers: Signer) -> bytes:
    """Return the newest file of a role as somebody would have it, signed with the keys that they have."""
    metadata: Metadata[Any] = Metadata.from_bytes(files[_newest(files, role)])
    edit(metadata.signed)
    metadata.signatures.clear()
    for signer in signers:
        metadata.sign(signer, append=True)
    return metadata.to_bytes()


def _as_second(signed: Any) -> None:
    signed.version = 2


def _over(files: Mapping[str, bytes], *, times: int = 1) -> dict[str, bytes]:
    """Return files under timestamps and snapshots that the hub signs anew."""
    made = dict(files)
    for _ in range(times):
        made = resign(made, HUB.signer, now=START + DAY)
    return made


def add_lists(w: Writer) -> None:
    """Good editions in their order, then each fault over the first of them."""
    editions = Editions()
    first = dict(editions.latest.files)

    def add(name: str, what: str, files: Mapping[str, bytes], code: str = "", held: str = "valid-list") -> None:
        given, before = write_list_file(files), [held] if held else []
        w.add(name, what, "list", given, ED, before, code=code)

    add("valid-list", "The first list: root and targets signed by two of three officers.", first, held="")
    add("valid-list-same-again", "Signed anew by the hub a day later.", _over(first))
    changed = editions.change(suspend(LATTICE.id))
    add("valid-list-suspended", "Two officers suspend a member.", changed)
    add("valid-list-hold", "One officer alone holds a member for 14 days.", editions.hold(CURVE), held="valid-list")
    add("valid-list-root-renewed", "A second root, signed as the first.", editions.change(renew_root=True))
    add("invalid-list-rolled-back", "The hub signs the first list anew over a newer one.", _over(first, times=3),
        "list-rolled-back", "valid-list-suspended")  # fmt: skip
    add("invalid-list-expired", "Nobody has signed for 45 days.",
        resign(first, HUB.signer, now=START - 50 * DAY), "list-expired", "")  # fmt: skip
    member_file = next(path for path in first if "members-" in path)
    add("invalid-list-file-exchanged", "A file of members is not the one that was signed for.",
        {**first, member_file: first[member_file].replace("学院".encode(), "学府".encode())},
        "list-mixed", "")  # fmt: skip
    add("invalid-list-file-missing", "The newest targets are not served.",
        {path: data for path, data in changed.items() if path != _newest(changed, "targets")},
        "list-unreachable")  # fmt: skip
    add("invalid-list-elsewhere", "The list of another federation, by the same officers.",
        dict(Editions("f-" + "elsewhere".ljust(26, "a")).latest.files), "list-federation", "")  # fmt: skip
    _add_forged(add, first)


def _add_forged(add: Callable[..., None], first: Mapping[str, bytes]) -> None:
    """The lists of thieves, single officers and hostile hubs."""
    one, two, _ = (officer.signer for officer in OFFICERS)
    without = {path: data for path, data in first.items() if role_of(path) != "targets"}
    for name, what, signers in (
        ("one-officer", "Targets that one officer alone has signed.", (one,)),
        ("hub-alone", "Targets that the hub has signed.", (HUB.signer,)),
    ):
        forged = {**without, "2.targets.json": _forged(first, "targets", _as_second, *signers)}
        add(f"invalid-list-{name}", what, _over(forged), "list-threshold")

    def take_over(root: Any) -> None:
        root.version = 2
        thieves = [CURVE.signer.public_key, ED.signer.public_key]
        old = set(root.roles["root"].keyids)
        for role in ("root", "targets"):
            root.roles[role].keyids = sorted(key.keyid for key in thieves)
        root.keys = {keyid: key for keyid, key in root.keys.items() if keyid not in old}
        root.keys |= {key.keyid: key for key in thieves}

    add("invalid-list-root-by-new-keys", "A root that only the keys it brings have signed.",
        {**first, "2.root.json": _forged(first, "root", take_over, ED.signer)}, "root-threshold")  # fmt: skip
    document = json.loads(first["1.root.json"])
    twin = json.loads(json.dumps(document["signed"]["keys"][one.public_key.keyid]))
    document["signed"]["version"] = 2
    document["signed"]["keys"]["ee" * 32] = twin
    for role in ("root", "targets"):
        document["signed"]["roles"][role]["keyids"].append("ee" * 32)
    add("invalid-list-key-twice", "One officer's key stands there under two ids.",
        {**first, "2.root.json": json.dumps(document).encode()}, "list-key-twice")  # fmt: skip
    again = _over(first)
    add("invalid-list-unknown-field", "A member of the envelope that nobody has signed.",
        {**again, "timestamp.json": again["timestamp.json"].replace(b'{"signatures"', b'{"remark":1,"signatures"', 1)},
        "list-shape")  # fmt: skip
    add("invalid-list-timestamp-of-another", "A timestamp that is not signed by the hub.",
        {**again, "timestamp.json": _forged(again, "timestamp", lambda t: setattr(t, "version", 9), two)},
        "list-threshold")  # fmt: skip

"""An officer's work, one change at a time: fetch the list, compare, look at the differences, sign, hand back.

    list from the hub (or a file) -> verified against the one last verified here -> draft (made here, or an
    officer's before) -> differences computed here -> asked -> signed -> handed to the hub (or into a file)

Nothing that the hub or a draft says of itself is shown: the differences come from verified bytes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from federation.anchor import Anchor, read_anchor
from federation.changes import Change
from federation.client import PeerClient
from federation.differences import Difference, differences
from federation.documents import read_object
from federation.drafts import (
    MAX_DRAFT_BYTES,
    Draft,
    progress,
    propose,
    read_draft,
    read_outcome,
    sign_draft,
    write_draft,
)
from federation.enrolment import REPLACE, EnrolmentRequest, read_request
from federation.errors import Conflict, InputRefused, TrustError
from federation.keys import read_public_key
from federation.membership import MemberList, refresh
from federation.metadata import HOLD, ROOT, check_metadata, signers_of
from node.officer.changes import changes_of
from node.officer.folder import ANCHOR, OfficerFolder

Confirm = Callable[[Sequence[Difference], Sequence[EnrolmentRequest]], bool]


class Desk(Protocol):
    """Where lists and requests come from and drafts go to."""

    def fetch(self, path: str) -> bytes | None:
        """Return one file of the member list, or None."""

    def find(self, name: str) -> bytes | None:
        """Return what the hub has under an id: requests of a node, or a draft."""

    def hand_in(self, draft: bytes) -> dict[str, Any]:
        """Hand a signed draft back; return its state as told."""


@dataclass(frozen=True)
class HubDesk:
    """The hub, over the network."""

    client: PeerClient

    def fetch(self, path: str) -> bytes | None:
        """Fetch one file of the list."""
        return self.client.fetch_membership(path)

    def find(self, name: str) -> bytes | None:
        """Fetch requests or a draft."""
        return self.client.fetch_file(f"join/{name}")

    def hand_in(self, draft: bytes) -> dict[str, Any]:
        """Post the draft."""
        return read_object(self.client.fetch_page("join/draft", draft))


@dataclass(frozen=True)
class FileDesk:
    """Files on a stick: the list as `federation export` wrote it; the draft goes into `out`."""

    files: dict[str, bytes]
    out: Path

    def fetch(self, path: str) -> bytes | None:
        """Return one file of the list."""
        return self.files.get(path)

    def find(self, name: str) -> bytes | None:  # noqa: ARG002
        """Return nothing: requests and drafts are given as files."""
        return None

    def hand_in(self, draft: bytes) -> dict[str, Any]:
        """Write the draft."""
        self.out.write_bytes(draft)
        return {"file": str(self.out)}


@dataclass(frozen=True)
class Signed:
    """What an officer signed, and how the draft stands. `told` is the hub's word."""

    differences: tuple[Difference, ...]
    missing: int
    told: dict[str, Any]


def open_latest(folder: OfficerFolder, desk: Desk, now: datetime, anchor: bytes | None = None) -> MemberList | None:
    """Return the newest list, verified against the one kept here, and keep it; None before there is any.

    The anchor is pinned once: given, or the hub's where this very officer has signed its root. One that was founded
    anew takes its place where this officer has signed that too.
    """
    pinned = folder.pin(anchor) if anchor is not None else folder.find_anchor()
    served = desk.fetch(ANCHOR)
    if pinned is not None and served is not None and _follows(folder, pinned, served):
        pinned = folder.pin_successor(served)
    if pinned is None:
        if served is None:
            return None
        if not _has_signed(folder, served):
            raise TrustError(
                "anchor-missing",
                "本目录还没有信任锚，而汇总节点所给的不是你签过的。请用 --anchor 给出核对过的信任锚。",
                "No anchor is pinned here, and the hub's was not signed by you. Give a compared one: --anchor FILE.",
            )
        pinned = folder.pin(served)
    found = refresh(pinned.root, folder.held_files(), desk.fetch, federation=pinned.federation, now=now)
    folder.keep(found)
    return found


def find_founding(desk: Desk, names: Sequence[str]) -> Draft | None:
    """Return the draft of a federation's first list where that is named: it is compared with no other list."""
    data = _find(desk, names[0]) if len(names) == 1 else b"{}"
    if "metadata" not in read_object(data, max_bytes=MAX_DRAFT_BYTES):
        return None
    draft = read_draft(data)
    return None if any(draft.base.values()) else draft


def gather(
    held: MemberList | None, desk: Desk, names: Sequence[str], now: datetime
) -> tuple[Draft, tuple[EnrolmentRequest, ...]]:
    """Return the draft that grants what is named: ids or files of requests, or one draft.

    Where an officer has proposed it already, that draft; else a new one of all the requests together.
    """
    found = [_load(desk, name, held) for name in names]
    drafts = [item for item in found if isinstance(item, Draft)]
    if drafts:
        if len(found) > 1:
            raise Conflict("draft-alone", "草稿须单独签署。", "A draft is signed by itself.")
        return drafts[0], ()
    requests = [request for item in found if not isinstance(item, Draft) for request in item]
    if held is None:
        raise Conflict("federation-unsigned", "联合体还没有签名名录。", "The federation has no signed list yet.")
    known = {request.draft for request in requests if request.draft}
    granted = tuple(request.request for request in requests)
    if known:
        data = desk.find(next(iter(sorted(known))))
        if data is None or len(known) > 1:
            raise Conflict("draft-several", "这些申请属于不同草稿。", "These requests belong to several drafts.")
        draft = read_draft(data)
        _check_grants(held, draft, granted)
        return draft, granted
    changes = [change for request in requests for change in changes_of(held, request.data)]
    return propose(held, *changes, now=now), granted


def propose_change(
    held: MemberList | None, changes: Sequence[Change], now: datetime, *, renew_root: bool = False
) -> Draft:
    """Return the draft of an officer's own change; raise Conflict before there is a list."""
    if held is None:
        raise Conflict("federation-unsigned", "联合体还没有签名名录。", "The federation has no signed list yet.")
    return propose(held, *changes, now=now, renew_root=renew_root)


def sign(
    folder: OfficerFolder,
    desk: Desk,
    held: MemberList | None,
    draft: Draft,
    passphrase: str,
    confirm: Confirm,
    requests: Sequence[EnrolmentRequest] = (),
) -> Signed | None:
    """Show the differences, ask, sign and hand back; None where the officer said no."""
    outcome = read_outcome(held, draft)
    found = differences(held, outcome)
    if not confirm(found, requests):
        return None
    signed = sign_draft(held, draft, folder.signer(passphrase), seen=outcome)
    missing = max(count.missing for count in progress(held, signed))
    return Signed(found, missing, desk.hand_in(write_draft(signed)))


def is_hold(draft: Draft) -> bool:
    """Tell whether one officer alone decides: the draft holds nothing but a hold."""
    return set(draft.metadata) == {HOLD}


@dataclass(frozen=True)
class _Found:
    request: EnrolmentRequest
    data: bytes
    draft: str = ""


def _find(desk: Desk, name: str) -> bytes:
    path = Path(name)
    data = path.read_bytes() if path.is_file() else desk.find(name)
    if data is None:
        raise _unknown(name)
    return data


def _unknown(name: str) -> InputRefused:
    return InputRefused(
        "request-unknown",
        f"没有待批的申请或草稿 {name[:80]}，也没有这个文件。请核对编号。",
        f"No request or draft {name[:80]} is open, nor is there such a file. Compare the id.",
    )


def _load(desk: Desk, name: str, held: MemberList | None) -> Draft | list[_Found]:
    data = _find(desk, name)
    document = read_object(data, max_bytes=MAX_DRAFT_BYTES)
    if "metadata" in document:
        return read_draft(data)
    if "requests" not in document:
        return [_Found(read_request(data), data)]
    waiting = [item for item in document["requests"] if item.get("state") in {"pending", "proposed"}]
    waiting = [item for item in waiting if held and _is_vouched(held, item)] or waiting
    if not waiting:
        raise _unknown(name)
    if len(waiting) != 1:
        prints = "，".join(str(item.get("request", ""))[:16] for item in waiting)
        raise Conflict(
            "request-ambiguous",
            f"该节点有 {len(waiting)} 份待批申请（{prints}），请核对后用申请编号指明。",
            f"This node has {len(waiting)} open requests ({prints}); name one by its own id after comparing.",
        )
    file = str(waiting[0]["file"]).encode()
    return [_Found(read_request(file), file, str(waiting[0].get("draft", "")))]


def _is_vouched(held: MemberList, item: dict[str, Any]) -> bool:
    """Tell whether a key that the list names as the applicant's has signed too: anybody may ask in anybody's name.

    One to replace a lost key cannot be; it is never passed over for another.
    """
    request = read_request(str(item["file"]).encode())
    if request.kind == REPLACE:
        return True
    member = held.members.get(request.applicant.id)
    return member is not None and any(request.is_signed_by(read_public_key(key.pem)) for key in member.active_keys)


def _check_grants(held: MemberList, draft: Draft, requests: Sequence[EnrolmentRequest]) -> None:
    """Refuse a draft that does not grant what was asked for by name."""
    roll = read_outcome(held, draft).roll
    for request in requests:
        entry = roll.members.get(request.applicant.id)
        if entry is None or request.key.keyid not in {key.keyid for key in entry.active_keys}:
            raise TrustError("draft-differs", "草稿没有批准这份申请。", "The draft does not grant this request.")


def _follows(folder: OfficerFolder, pinned: Anchor, served: bytes) -> bool:
    """Tell whether what is served was founded anew from the pinned federation, by this very officer among others."""
    return read_anchor(served).formerly == pinned.federation and _has_signed(folder, served)


def _has_signed(folder: OfficerFolder, anchor: bytes) -> bool:
    officer = folder.officer
    root = check_metadata(read_anchor(anchor).root, ROOT)
    return officer.keyid in root.signed.roles[ROOT].keyids and bool(signers_of(root, [officer.key]))

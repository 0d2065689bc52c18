"""The last verified member list, kept: its files verbatim and what follows from them, replaced in one transaction.

Nothing here goes to the network and nothing is believed: `federation.membership` has verified a list before it comes
here. With the files the peers and their keys are written, so that no reader ever sees one without the other. Where a
federation has no list (a hub of an earlier release), peers stay as they were pinned or listed before.
"""

import json
from collections.abc import Mapping
from datetime import datetime

from securesystemslib.signer import Signer
from sqlalchemy import bindparam
from sqlalchemy import select as core_select
from sqlmodel import Session, col, delete, select

from federation.anchor import build_anchor
from federation.errors import TrustError
from federation.membership import Files, MemberList, open_list
from federation.metadata import HOLD, ROOT, TARGETS
from federation.roll import KeyEntry, MemberEntry, Roll
from node.audit import write_audit
from node.context import Node
from node.keyring import open_key_named
from node.prepared import Prepared
from node.stream.listed import keep_listed
from node.stream.models import Federation, MemberListFile, MemberListState, Peer, PeerKey
from node.stream.outbox import turn_outbox
from node.stream.peers import find_peer, list_peers
from node.stream.standing import ACTIVE, RETIRED, SUSPENDED

_STATE = Prepared(
    core_select(col(MemberListState.versions), col(MemberListState.expires_at), col(MemberListState.seen)).where(
        col(MemberListState.federation) == bindparam("federation")
    )
)
ANCHOR = "anchor.json"  # served beside the list's files, made from them


def find_state(session: Session, federation_id: str) -> MemberListState | None:
    """Return what is known of the federation's list; None where it has none (pinned by hand)."""
    return session.get(MemberListState, federation_id)


def is_expired(session: Session, federation_id: str, now: datetime) -> bool:
    """Tell whether the federation has a list and that has expired: new records wait until it is renewed."""
    rows = _STATE.all(session.connection(), {"federation": federation_id})
    return bool(rows) and rows[0][1] is not None and rows[0][1] <= now


def load_list_files(session: Session, federation_id: str) -> dict[str, bytes]:
    """Return the files of the list, verbatim, by path."""
    rows = session.exec(select(MemberListFile).where(MemberListFile.federation == federation_id)).all()
    return {row.path: row.content for row in rows}


def find_file(session: Session, federation_id: str, path: str) -> bytes | None:
    """Return one file of the list, or None."""
    row = session.get(MemberListFile, (federation_id, path))
    return row.content if row else None


def open_held(session: Session, federation_id: str, now: datetime) -> MemberList | None:
    """Return the list that is held, verified anew, also after its expiry; None where there is none."""
    state = find_state(session, federation_id)
    files = load_list_files(session, federation_id)
    if state is None or not files:
        return None
    return open_list(state.root, files, federation=federation_id, now=now)


def versions_of(session: Session, federation_id: str) -> dict[str, int]:
    """Return the versions of the list that is held, by role; nothing where there is none."""
    rows = _STATE.all(session.connection(), {"federation": federation_id})
    return json.loads(rows[0][0]) if rows else {}


def is_seen(session: Session, federation_id: str, versions: Mapping[str, object]) -> bool:
    """Tell whether somebody's word has named these versions before, or there is no list to compare with."""
    rows = _STATE.all(session.connection(), {"federation": federation_id})
    return not rows or not _higher(json.loads(rows[0][2]), versions)


def list_version(session: Session, federation_id: str) -> int:
    """Return the version of the list's timestamp; 0 where there is no list."""
    return int(versions_of(session, federation_id).get("timestamp", 0))


def note_seen(state: MemberListState, versions: Mapping[str, object], peer_id: str, at: datetime) -> None:
    """Remember the highest versions that anybody's signed word has named, and who named the officers' files."""
    seen: dict[str, int] = json.loads(state.seen)
    higher = _higher(seen, versions)
    if higher:
        state.seen = json.dumps(seen | higher, sort_keys=True)
    if higher.keys() & {ROOT, TARGETS, HOLD}:
        state.seen_from, state.seen_at = peer_id, at


def forget_seen(state: MemberListState) -> None:
    """Go back to the versions that are held: whoever has higher ones says so again."""
    state.seen, state.seen_from, state.seen_at = state.versions, "", None


def _higher(seen: Mapping[str, int], versions: Mapping[str, object]) -> dict[str, int]:
    return {
        role: version
        for role, version in versions.items()
        if type(version) is int and seen.get(role, 0) < version < 2**53
    }


def list_signer(node: Node, roll: Roll) -> Signer:
    """Return the hub's key that root names for timestamp and snapshot.

    While the hub turns its key that is another than the one which a running process began with.
    """
    if node.signer.public_key.keyid == roll.hub_keyid:
        return node.signer
    return open_key_named(node.folder, node.settings.keys, roll.hub_keyid) or node.signer


def store_list(session: Session, node: Node, found: MemberList, *, source: str) -> None:
    """Put a verified list in the place of the one before: files, state, peers and keys, in the caller's transaction."""
    at = node.clock()
    state = session.get_one(MemberListState, found.federation)
    federation = session.get_one(Federation, found.federation)
    hub_before, hub_url = federation.hub_id, found.members[found.roll.hub].url
    if hub_before != found.roll.hub and hub_url:
        state.urls = hub_url  # where the hub before was reached leads nobody to this one
    _replace_files(session, found.federation, _with_anchor(found, state))
    before = json.loads(state.versions)
    state.versions = json.dumps(dict(found.versions), sort_keys=True)
    state.expires_at, state.ageing = found.expires_at, " ".join(found.ageing(at))
    state.refreshed_at, state.refreshed_from, state.tried_at, state.error = at, source, at, ""
    if found.versions["root"] > before.get("root", 0):  # under new keys other versions may begin anew
        state.seen = "{}"
    note_seen(state, found.versions, node.node_id, at)
    own = found.members.get(node.node_id)
    state.own_groups = " ".join(sorted(own.groups)) if own else ""
    session.add(state)
    federation.name, federation.hub_id = found.roll.name, found.roll.hub
    session.add(federation)
    if hub_before != federation.hub_id:
        turn_outbox(session, node.node_id, federation, hub_before)
    keep_listed(session, federation.id, found.versions[TARGETS], found.roll.documents)
    take_members(session, node, found, at)
    if before != found.versions and any(before.get(role) != found.versions.get(role) for role in ("root", "targets")):
        write_audit(
            session, account_id="system", action="list.taken", subject=found.federation, at=at, **dict(found.versions)
        )


def take_members(session: Session, node: Node, found: MemberList, at: datetime) -> None:
    """Write peers and keys as the list has them, and the times of a hold, which counts by the clock from then on.

    Who is not listed counts no more. What contact with a peer has taught (cursor, back-off) stays.
    """
    for peer in list_peers(session, found.federation):
        if peer.id not in found.members:
            peer.status = SUSPENDED
            session.add(peer)
    known = session.exec(select(PeerKey.keyid, PeerKey.retired_at).where(PeerKey.federation == found.federation)).all()
    rested = {keyid: since for keyid, since in known if since is not None}
    session.exec(delete(PeerKey).where(col(PeerKey.federation) == found.federation))
    for entry in found.members.values():
        for key in entry.keys:
            row = _key_row(found.federation, entry, key)
            row.retired_at = key.retired_at or rested.get(key.keyid, at) if key.status == RETIRED else None
            session.add(row)
        if entry.id != node.node_id:
            _take_member(session, found, entry, at)
    session.flush()


def _key_row(federation_id: str, entry: MemberEntry, key: KeyEntry) -> PeerKey:
    return PeerKey(
        federation=federation_id,
        keyid=key.keyid,
        peer_id=entry.id,
        public_key=key.pem,
        status=key.status,
        revoked_at=key.revoked_at,
    )


def _take_member(session: Session, found: MemberList, entry: MemberEntry, at: datetime) -> None:
    is_hub = entry.id == found.roll.hub
    present = (*entry.active_keys, *entry.keys)[0]
    peer = find_peer(session, found.federation, entry.id)
    if peer is None:
        peer = Peer(federation=found.federation, id=entry.id, name="", public_key="", keyid="")
    elif peer.keyid != present.keyid:
        write_audit(
            session, account_id="system", action="member.key-changed", subject=peer.id, at=at, keyid=present.keyid
        )
    peer.name, peer.code, peer.transport = entry.name, entry.code, entry.transport
    peer.url = entry.url
    if is_hub and not peer.url:  # a hub that does not say its address is found at the anchor's
        peer.url = session.get_one(MemberListState, found.federation).urls.partition(" ")[0]
    peer.groups, peer.sealing_key = " ".join(sorted(entry.groups)), entry.sealing_key
    peer.public_key, peer.keyid, peer.is_hub = present.pem, present.keyid, is_hub
    peer.status = ACTIVE if entry.status == ACTIVE else SUSPENDED
    hold = found.hold_on(entry.id)
    peer.held_from, peer.held_until = (hold.since, hold.until) if hold else (None, None)
    session.add(peer)


def pin(
    session: Session, federation_id: str, root: bytes, *, urls: str = "", hub_keyid: str = "", formerly: str = ""
) -> MemberListState:
    """Pin the root from which this federation's list is read; raise TrustError where another one is pinned."""
    state = session.get(MemberListState, federation_id)
    if state is not None and state.root != root:
        raise TrustError(
            "anchor-differs",
            "此联合体已用另一个信任锚加入，已拒绝。请电话核实。",
            "This federation was joined with another anchor; refused. Ask an officer by telephone.",
        )
    state = state or MemberListState(federation=federation_id, root=root)
    state.urls, state.hub_keyid = urls or state.urls, hub_keyid or state.hub_keyid
    state.formerly = formerly or state.formerly
    session.add(state)
    session.flush()
    return state


def succeed(session: Session, formerly: str, federation: Federation) -> None:
    """Let `federation` take the place of the one from which it was founded anew; what was said in that stays."""
    session.add(federation)
    session.flush()
    old = session.get(Federation, formerly)
    if old is not None and old.left_at is None:
        old.left_at = federation.joined_at
        session.add(old)
        session.flush()


def _with_anchor(found: MemberList, state: MemberListState) -> Files:
    """Add the anchor file with the pinned root: from any member's copy of the list one may join."""
    return {
        **found.files,
        ANCHOR: build_anchor(found.roll, state.root, urls=tuple(state.urls.split()), formerly=state.formerly),
    }


def _replace_files(session: Session, federation_id: str, files: Files) -> None:
    """Write only what differs: of some three hundred files mostly two change."""
    held = load_list_files(session, federation_id)
    gone = [path for path in held if path not in files]
    if gone:
        session.exec(
            delete(MemberListFile).where(
                col(MemberListFile.federation) == federation_id, col(MemberListFile.path).in_(gone)
            )
        )
    for path, content in files.items():
        if held.get(path) != content:
            session.merge(MemberListFile(federation=federation_id, path=path, content=content))
    session.flush()

"""The member list by stick: which of its files go into a bundle, and taking them in as if a server had served them.

A file proves itself, whoever brought it: what comes by stick is verified by the same `refresh` as what comes over the
network, before the records beside it, so that a newcomer finds its hub's key and a suspension counts at once. An older
list on an older stick is no attack and changes nothing.
"""

import json
from collections.abc import Iterable, Mapping

from sqlmodel import Session

from federation.errors import TrustError
from federation.membership import Files
from federation.metadata import HOLD, ROOT, TARGETS, role_of, version_in
from federation.parcel import RawParcel, peek_audience
from node.context import Node
from node.exchange.inbox import Handlers
from node.exchange.models import PeerParcels
from node.exchange.refreshing import take_from
from node.stream.memberlist import ANCHOR, find_state, load_list_files, versions_of

BY_STICK = "bundle"  # where the list is said to be from
MAX_BYTES = 33_554_432  # of the files of one bundle
_OLDER = "list-rolled-back"


def lacked_by(session: Session, federation_id: str, peer_id: str) -> Files:
    """Return the files that a peer lacks by the versions its newest manifest told; all where it told none."""
    row = session.get(PeerParcels, (federation_id, peer_id))
    told: Mapping[str, int] = json.loads(row.membership) if row else {}
    held = versions_of(session, federation_id)
    if told == held:
        return {}
    files = load_list_files(session, federation_id)
    return {path: data for path, data in sorted(files.items()) if _is_lacked(path, told, held)}


def _is_lacked(path: str, told: Mapping[str, int], held: Mapping[str, int]) -> bool:
    role = role_of(path)
    if role == ROOT:
        return version_in(path) > told.get(ROOT, 0)
    if role == "" and path.endswith(f".{HOLD}.json"):
        return told.get(HOLD) != held.get(HOLD)
    if role in {"", TARGETS}:
        return path != ANCHOR and told.get(TARGETS) != held.get(TARGETS)
    return True


def files_in(parcels: Iterable[RawParcel], federation_id: str) -> dict[str, bytes]:
    """Return the files of a whole bundle that are said to be this federation's; raise TrustError beyond the limit."""
    files: dict[str, bytes] = {}
    for raw in parcels:
        if raw.files and peek_audience(raw)["audience"]["federation"] == federation_id:
            files |= raw.files
        if sum(len(data) for data in files.values()) > MAX_BYTES:
            raise TrustError("list-too-large", "名录文件过大。", "The files of the member list are too large.")
    return files


def take_files(node: Node, federation_id: str, files: Files, handlers: Handlers) -> str:
    """Take the list that `files` make up, together with what is held; return "" or the code of what is wrong with it.

    Nothing is done where this node pinned no root: what has no anchor proves nothing. Raises StorageError.
    """
    with node.database.read() as session:
        state = find_state(session, federation_id)
        held = load_list_files(session, federation_id)
    if state is None or all(held.get(path) == data for path, data in files.items()):
        return ""
    try:
        take_from(node, federation_id, lambda path: files.get(path, held.get(path)), handlers, source=BY_STICK)
    except TrustError as error:
        return "" if error.code == _OLDER else error.code
    return ""

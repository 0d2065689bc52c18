"""Bundles: parcels in one file for a stick or a mail, with a summary to print and put beside it.

A bundle for the hub also carries what waits for other colleges; the hub lays that into its mailbox, and its own bundle
for a college carries what lies there for it. So one courier's trip to the hub and back is enough for everything.
Importing looks at the whole file first: one that is cut off, or whose maker's parcels were changed, is refused as a
whole. The maker's parcels come last; one of somebody else that does not hold is counted and passed over, so that no
member spoils the stick of all.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from sqlmodel import Session

from federation.documents import MAX_INTEGER
from federation.errors import GonghuiError, InputRefused, TrustError
from federation.listfile import LIST_FILE, read_list_file, write_list_file
from federation.parcel import EVERYBODY, RawParcel, peek_audience, read_bundle
from federation.spoken import spoken
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.clock import format_time
from node.context import Node
from node.exchange import mailbox
from node.exchange.heads import state_heads
from node.exchange.inbox import FILE, Handlers
from node.exchange.mailbox import MailboxFull
from node.exchange.parcels import Packed, pack, pack_for_all, parcels_state, peers_in_need, said_versions
from node.exchange.refreshing import take_from
from node.exchange.unpacking import Taken, federation_of, is_ours, open_parcel, take_parcel
from node.exchange.vouching import vouch_for
from node.stream.memberlist import find_state, load_list_files
from node.stream.models import Federation
from node.stream.outbox import waiting_peers
from node.stream.parents import list_meant
from node.stream.peers import find_peer, get_peer, list_peers
from node.stream.service import get_federation
from node.stream.standing import is_active
from node.totals.service import advance

_PASSED_OVER = -1
MAX_CARRIED_LIST_BYTES = 3_000_000  # of some 6,000 members; in base64 it fits a line of a parcel


@dataclass(frozen=True)
class Bundle:
    """What an export holds. `parcels` in the order of the file."""

    origin: str
    audience: str
    number: int  # of its last parcel
    issued_at: datetime
    parcels: tuple[bytes, ...]
    records: int
    receipts: int

    def parts(self, max_bytes: int = 0) -> list[bytes]:
        """Return the contents of the files, cut between parcels so that each has about `max_bytes`; 0: one file."""
        files: list[bytes] = []
        for parcel in self.parcels:
            if files and (not max_bytes or len(files[-1]) + len(parcel) < max_bytes):
                files[-1] += parcel + b"\n"
            else:
                files.append(parcel + b"\n")
        return files


@dataclass
class Preview:
    """What a file says of itself, and which of its manifests hold; `code` is why one does not."""

    sha256: str = ""
    size_bytes: int = 0
    parcels: list[dict[str, Any]] = field(default_factory=list)


def export_bundle(node: Node, actor: Actor, to: str) -> Bundle:
    """Pack everything for the node `to`, or with `*` for whoever reads it; raise NotPermitted, InputRefused."""
    check_permission(actor, "sync.run")
    with node.database.read() as session:
        node = node.within(_federation_with(session, node, to).id)
    advance(node)
    state_heads(node)
    with node.database.write() as session:
        federation = get_federation(session, node)
        files = _own_list(session, federation.id, to)
        if to == EVERYBODY:
            packed, carried = pack_for_all(session, node, federation, files=files), []
        else:
            peer = get_peer(session, federation.id, to)
            if peer.id == node.node_id:
                raise InputRefused("peer-is-self", "不能导出给本节点自己。", "A node does not export to itself.")
            mailbox.check_may_get(peer, node.clock())
            carried = _carried(session, node, federation, to)
            vouched = vouch_for(session, node, federation, peer.id)
            packed = pack(session, node, federation, peer, files=files, vouched=vouched)
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="bundle.export", subject=to, at=at)
    parcels = (*carried, *(item.data for item in packed))
    last: Packed = packed[-1]
    return Bundle(
        node.node_id,
        to,
        last.number,
        at,
        parcels,
        sum(item.records for item in packed),
        sum(item.receipts for item in packed),
    )


def _federation_with(session: Session, node: Node, to: str) -> Federation:
    """Return the federation in which the node `to` is our peer, where there is but one such."""
    found = [one for one in list_meant(session, node) if find_peer(session, one.id, to) is not None]
    return found[0] if len(found) == 1 else get_federation(session, node)


def import_bundle(node: Node, actor: Actor, file: IO[bytes], handlers: Handlers) -> Taken:
    """Take in a bundle, its parcels in the order of their origin's log.

    Raise TrustError, NotPermitted, InputRefused.
    """
    check_permission(actor, "sync.run")
    taken = Taken()
    _take_lists(node, file, handlers, taken)
    origins = [peek_audience(raw)["origin"] for raw in _read(file)]
    if not origins:
        raise InputRefused("bundle-empty", "文件是空的。", "The file is empty.")
    firsts: list[int] = []  # the whole file, before anything is taken
    for raw, origin in zip(_read(file), origins, strict=True):
        with _passing_over(taken, carried=origin != origins[-1]):
            firsts.append(_first_of(node, raw))
            continue
        firsts.append(_PASSED_OVER)
    for first in sorted(set(firsts) - {_PASSED_OVER}):
        for raw, its_first, origin in zip(_read(file), firsts, origins, strict=True):
            if its_first == first:
                with _passing_over(taken, carried=origin != origins[-1]):
                    taken.add(_take(node, raw, handlers))
    with node.database.write() as session:
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="bundle.import", subject=node.node_id, at=at)
    return taken


@contextmanager
def _passing_over(taken: Taken, *, carried: bool) -> Iterator[None]:
    """Count why a parcel does not hold, and go on, where the bundle only carries it for somebody."""
    try:
        yield
    except (TrustError, InputRefused) as error:
        if not carried:
            raise
        taken.codes[error.code] += 1


def _own_list(session: Session, federation_id: str, to: str) -> tuple[tuple[str, bytes], ...]:
    """Return our copy of the member list as one file of the parcel, unless the reader told that it holds the same."""
    if json.loads(parcels_state(session, federation_id, to).membership) == said_versions(session, federation_id):
        return ()
    held = load_list_files(session, federation_id)
    data = write_list_file(held)
    return ((LIST_FILE, data),) if held and len(data) <= MAX_CARRIED_LIST_BYTES else ()


def _take_lists(node: Node, file: IO[bytes], handlers: Handlers, taken: Taken) -> None:
    """Take the member lists of a bundle first: they prove themselves, and name who signed the rest."""
    for raw in _read(file):
        with node.database.read() as session:
            federation = federation_of(session, node, raw)
            pinned = bool(raw.files) and find_state(session, federation.id) is not None
        for path, content in raw.files if pinned else ():
            if path == LIST_FILE:
                try:
                    take_from(node, federation.id, read_list_file(content).get, handlers, source=FILE)
                except (TrustError, InputRefused) as error:
                    if error.code != "list-rolled-back":  # an older stick that comes late is no attack
                        taken.codes[error.code] += 1


def _first_of(node: Node, raw: RawParcel) -> int:
    """Return where a parcel begins in its origin's log; one whose signer the file itself may introduce comes last."""
    try:
        return open_parcel(node, raw).says.log_first
    except TrustError as error:
        if error.code != "key-unknown":
            raise
        return MAX_INTEGER


def show_bundle(node: Node, actor: Actor, file: IO[bytes]) -> Preview:
    """Return what a file holds without taking anything in; raise TrustError where it is no whole bundle."""
    check_permission(actor, "sync.read")
    preview = Preview()
    for raw in _read(file):
        said = peek_audience(raw)
        try:
            open_parcel(node, raw)
            code = ""
        except GonghuiError as error:
            code = error.code
        with node.database.read() as session:
            origin = find_peer(session, said["audience"]["federation"], said["origin"])
        preview.parcels.append(
            {
                "origin": said["origin"],
                "name": origin.name if origin else "",
                "audience": said["audience"]["node"],
                "number": said["number"],
                "issued_at": said["issued_at"],
                "items": len(raw.lines),
                "files": len(raw.files),
                "code": code,
            }
        )
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1_048_576):
        digest.update(chunk)
        preview.size_bytes += len(chunk)
    preview.sha256 = digest.hexdigest()
    return preview


def summary_of(bundle: Bundle, names: list[tuple[str, bytes]], titles: dict[str, str]) -> str:
    """Return the text for the paper that goes with the stick: from, to, number, counts, and the digest of each file."""
    to = "全体成员 / every member" if bundle.audience == EVERYBODY else _titled(bundle.audience, titles)
    lines = [
        "数智工会数据包 / gonghui bundle",
        "",
        f"发出 / from      {_titled(bundle.origin, titles)}",
        f"交给 / to        {to}",
        f"编号 / number    {bundle.number}",
        f"时间 / issued    {format_time(bundle.issued_at)}",
        f"条目 / records   {bundle.records}",
        f"回执 / receipts  {bundle.receipts}",
        "",
    ]
    for name, data in names:
        digest = hashlib.sha256(data).hexdigest()
        groups = [digest[start : start + 4] for start in range(0, 64, 4)]
        lines += [
            f"文件 / file      {name}    {len(data)} 字节 / bytes",
            f"  SHA-256        {' '.join(groups[:8])}",
            f"                 {' '.join(groups[8:])}",
            f"  读作 / words   {spoken(digest)}",
        ]
    lines += [
        "",
        "收到后运行 / at the other end:  gonghui bundle show 文件 ; gonghui bundle import 文件",
        "可重复导入，顺序不限。/ It may be imported twice, and in any order.",
    ]
    return "\n".join(lines) + "\n"


def titles_of(node: Node) -> dict[str, str]:
    """Return the name of each node we know."""
    with node.database.read() as session:
        peers = [peer for one in list_meant(session, node) for peer in list_peers(session, one.id)]
    return {peer.id: peer.name for peer in peers} | {node.node_id: node.settings.node.name}


def _titled(identity: str, titles: dict[str, str]) -> str:
    return f"{titles.get(identity, '')}  {identity}".strip()


def _read(file: IO[bytes]) -> Iterator[RawParcel]:
    file.seek(0)
    return read_bundle(file)


def _carried(session: Session, node: Node, federation: Federation, to: str) -> list[bytes]:
    """Return the parcels for others that go the same way: to the hub ours for colleges, from it its mailbox."""
    if federation.hub_id == node.node_id:
        return mailbox.list_kept(session, federation.id, to)
    if to != federation.hub_id:
        return []
    others = (waiting_peers(session, federation.id) | peers_in_need(session, node, federation)) - {federation.hub_id}
    peers = [peer for identity in sorted(others) if (peer := find_peer(session, federation.id, identity))]
    active = [peer for peer in peers if is_active(peer, node.clock())]
    return [item.data for peer in active for item in pack(session, node, federation, peer)]


def _take(node: Node, raw: RawParcel, handlers: Handlers) -> Taken:
    parcel = open_parcel(node, raw)
    node = node.within(parcel.federation)
    if is_ours(node, parcel):
        if parcel.origin == node.node_id:
            return Taken()
        return take_parcel(node, parcel, handlers, via=FILE)
    with node.database.write() as session:
        if get_federation(session, node).hub_id != node.node_id:
            raise TrustError("audience-mismatch", "数据包不是给本节点的。", "The bundle is for another node.")
        try:
            mailbox.put(session, node, parcel.origin, parcel.audience, parcel.id, raw.data)
        except (MailboxFull, InputRefused) as error:  # all else goes on; its sender brings it again
            return Taken(codes=Counter([error.code]))
    return Taken(passed_on=1)


def write_parts(out: Path, bundle: Bundle, max_bytes: int) -> list[tuple[Path, bytes]]:
    """Return the files to write: `out`, or `out` with `.1`, `.2` … before its ending where it is cut in parts."""
    parts = bundle.parts(max_bytes)
    if len(parts) == 1:
        return [(out, parts[0])]
    return [(out.with_name(f"{out.stem}.{number}{out.suffix}"), data) for number, data in enumerate(parts, 1)]

"""Parcels: what travels by relay and by stick; one signed manifest and, behind it, stored envelopes verbatim.

    [manifest,                    a parcel is spelt as a page is: one item a line, so the bytes are those of the network
    envelope,                     records, receipts, statements: each believed by its own signature alone
    {"data":"<base64>","path":"<name>"}]          files of the membership, which prove themselves

A bundle is a file of parcels, one after another. Nothing in it is packed, and no name in it ever becomes a path: there
is no bomb and no way out of a folder. Parcels carry no time window and may come in any order, twice, or not at all:
what they bring is told apart by id and sequence. The manifest is believed only in what its origin says of itself:

    log        the records enclosed are all that the audience may read of the origin's log after `first`, up to `last`
    cursor     how far the origin has taken the audience's log            (so a lost parcel is simply sent again)
    receipted  up to where the origin holds the audience's receipts       (so a lost receipt is simply sent again)
    taken      the highest number of the audience's parcels that the origin has taken in
    misses     records that the origin knows to lack
    refused    records of the audience that the origin refused without a receipt, and why
    held       the last record that the origin holds of each of the audience's streams
    witness    how far the origin holds the audience's log, and who is asked to cosign which enclosed checkpoint
    settled    by origin: the highest number of the parcels which the audience carried that this origin has taken in
    lost       the origin was restored: how far it still has its own streams, so that the audience gives back the rest
    number     grows; an older manifest says nothing that a newer one did not replace

Pure: nothing here touches a database or a disk beyond the stream of bytes it is given.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from securesystemslib.signer import Signer

from federation.documents import dump_document, format_time, read_object, read_time, sha256_hex
from federation.envelope import (
    MAX_ENVELOPE_BYTES,
    PARCEL_TYPE,
    Envelope,
    check_signature,
    check_type,
    join_page,
    read_envelope,
    sign,
)
from federation.errors import TrustError
from federation.keys import Member
from federation.request import signing_member
from federation.validation import check_schema

VERSION = 1
EVERYBODY = "*"
MAX_ITEMS, MAX_FILES = 500, 500  # the schema's limits
MAX_PARCEL_BYTES = 16_777_216
MAX_LINE_BYTES = 4_194_304  # a file of the membership, in base64

_FILE = re.compile(rb'\{"data":"([A-Za-z0-9+/]*={0,2})","path":"([A-Za-z0-9._-]{1,120})"\}')


@dataclass(frozen=True)
class Range:
    """Records `first` to `last` of one stream of one origin."""

    origin: str
    stream: str
    first: int
    last: int


@dataclass(frozen=True)
class Says:
    """What an origin says of itself in a manifest. Positions are 0 where it says nothing."""

    log_first: int = 0
    log_last: int = 0
    cursor: int = 0
    taken: int = 0
    receipted: Mapping[str, int] | None = None  # stream -> sequence
    misses: tuple[Range, ...] = ()
    membership: Mapping[str, int] | None = None  # role -> version
    refused: Mapping[str, str] | None = None  # record id -> code
    held: Mapping[str, tuple[int, str]] | None = None  # the audience's stream -> last sequence and its record's id
    witness: Mapping[str, Any] | None = None  # size, generation, asks: as in the schema
    settled: Mapping[str, int] = field(default_factory=dict)  # another origin -> number of its parcel
    lost: Mapping[str, int] | None = None  # own stream -> last sequence; None: nothing was lost


@dataclass(frozen=True)
class Parcel:
    """A parcel as it was read; `check_parcel` has verified its manifest. `files` are pairs (name, content)."""

    id: str
    origin: str
    federation: str
    audience: str  # a node, or `*`
    number: int
    issued_at: datetime
    says: Says
    items: tuple[Envelope, ...]
    files: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class RawParcel:
    """A parcel in its right spelling, nothing of it verified or parsed."""

    manifest: Envelope
    lines: tuple[bytes, ...]
    files: tuple[tuple[str, bytes], ...]

    @property
    def data(self) -> bytes:
        """Return the parcel as it was spelt."""
        return join_page([self.manifest.raw, *self.lines, *(_spell_file(*file) for file in self.files)])


def build_parcel(
    signer: Signer,
    *,
    origin: str,
    federation: str,
    audience: str,
    number: int,
    at: datetime,
    says: Says,
    enclosed: Sequence[bytes] = (),
    files: Sequence[tuple[str, bytes]] = (),
) -> bytes:
    """Return a parcel for one node or `*`; its id is that of its first line. Raise TrustError beyond the limits."""
    payload = {
        "version": VERSION,
        "origin": origin,
        "audience": {"federation": federation, "node": audience},
        "number": number,
        "issued_at": format_time(at),
        "enclosed": [read_envelope(item).id for item in enclosed],
        "files": [{"path": path, "sha256": sha256_hex(content)} for path, content in files],
        "log": {"first": says.log_first, "last": says.log_last},
        "cursor": says.cursor,
        "taken": says.taken,
        "receipted": [{"stream": name, "sequence": upto} for name, upto in sorted((says.receipted or {}).items())],
        "misses": [vars(item) for item in says.misses],
        "membership": dict(says.membership or {}),
    }
    if says.refused:
        payload["refused"] = [{"id": identity, "code": code} for identity, code in sorted(says.refused.items())]
    if says.held is not None:
        payload["held"] = [{"stream": name, "sequence": at, "id": record} for name, (at, record) in says.held.items()]
    if says.witness is not None:
        payload["witness"] = dict(says.witness)
    if says.settled:
        payload["settled"] = [{"origin": name, "number": number} for name, number in sorted(says.settled.items())]
    if says.lost is not None:
        payload["lost"] = [{"stream": name, "sequence": at} for name, at in says.lost.items()]
    check_schema("parcel.v1", payload)
    manifest = sign(dump_document(payload), PARCEL_TYPE, signer)
    return join_page([manifest, *enclosed, *(_spell_file(*file) for file in files)])


def read_parcel(data: bytes) -> RawParcel:
    """Read one parcel's spelling; raise TrustError. Verifies nothing."""
    if len(data) > MAX_PARCEL_BYTES:
        raise TrustError("parcel-too-large", "包裹过大。", f"A parcel is larger than {MAX_PARCEL_BYTES} bytes.")
    if not (data.startswith(b"[{") and data.endswith(b"}]")):
        raise TrustError("parcel-shape", "不是包裹。", "This is not a parcel.")
    return _read_lines(data[1:-1].split(b",\n"))


def read_bundle(file: IO[bytes]) -> Iterator[RawParcel]:
    """Read a bundle parcel by parcel, holding one at a time; raise TrustError where it is cut off or something else."""
    lines: list[bytes] = []
    size = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        size += len(line)
        start = not lines
        if len(line) > MAX_LINE_BYTES or size > MAX_PARCEL_BYTES or len(lines) > MAX_ITEMS + MAX_FILES:
            raise TrustError("parcel-too-large", "包裹过大。", f"A parcel is larger than {MAX_PARCEL_BYTES} bytes.")
        if line.endswith(b"\r\n"):
            raise _not_bundle("（换行被改动，请按二进制传送）", " (line ends were changed: send it as a binary file)")
        if start and not line.startswith(b'[{"payload":"'):
            raise _not_bundle("", "")
        line = line[1:] if start else line
        if line.endswith(b"}]\n"):
            yield _read_lines([*lines, line[:-2]])
            lines, size = [], 0
        elif line.endswith(b"},\n"):
            lines.append(line[:-2])
        elif line.endswith(b"\n"):
            raise _not_bundle("", "")
        else:
            lines.append(line)
            break
    if lines:
        raise TrustError(
            "bundle-truncated",
            "文件不完整：末尾缺失。请重新拷贝。",
            "The file is cut off at its end; copy it again.",
        )


def check_parcel(raw: RawParcel, find_member: Callable[[str], Member | None], federation: str) -> Parcel:
    """Verify a manifest and that what follows is what it names; raise TrustError. The items are not believed by it."""
    envelope = raw.manifest
    check_type(envelope, PARCEL_TYPE)
    member = signing_member(envelope, find_member)
    check_signature(envelope, member.key)
    payload = read_object(envelope.payload)
    if payload.get("version") != VERSION or isinstance(payload["version"], bool):
        raise TrustError("version-unknown", "不认识的包裹版本，请升级本节点。", "Unknown version; update this node.")
    check_schema("parcel.v1", payload)
    if payload["origin"] != member.id:
        raise TrustError("origin-mismatch", "包裹冒用他人名义。", "The parcel is in another node's name.")
    if payload["audience"]["federation"] != federation:
        raise TrustError("audience-mismatch", "包裹属于另一个联合体。", "The parcel is of another federation.")
    items = tuple(read_envelope(line) for line in raw.lines)
    files = [{"path": path, "sha256": sha256_hex(content)} for path, content in raw.files]
    if [item.id for item in items] != payload["enclosed"] or files != payload["files"]:
        raise TrustError("enclosed-mismatch", "所附条目与清单不符。", "What is enclosed is not what was signed for.")
    says = Says(
        payload["log"]["first"],
        payload["log"]["last"],
        payload["cursor"],
        payload["taken"],
        {item["stream"]: item["sequence"] for item in payload["receipted"]},
        tuple(Range(**item) for item in payload["misses"]),
        payload["membership"],
        {item["id"]: item["code"] for item in payload.get("refused", ())},
        {item["stream"]: (item["sequence"], item["id"]) for item in payload["held"]} if "held" in payload else None,
        payload.get("witness"),
        {item["origin"]: item["number"] for item in payload.get("settled", ())},
        {item["stream"]: item["sequence"] for item in payload["lost"]} if "lost" in payload else None,
    )
    return Parcel(
        envelope.id,
        payload["origin"],
        federation,
        payload["audience"]["node"],
        payload["number"],
        read_time(payload["issued_at"]),
        says,
        items,
        raw.files,
    )


def peek_audience(raw: RawParcel) -> dict[str, Any]:
    """Return the unverified manifest for a preview, and for a hub that passes it on unread; raise TrustError."""
    check_type(raw.manifest, PARCEL_TYPE)
    payload = read_object(raw.manifest.payload)
    check_schema("parcel.v1", payload)
    return payload


def _read_lines(lines: list[bytes]) -> RawParcel:
    manifest = read_envelope(lines[0], max_bytes=MAX_ENVELOPE_BYTES)
    check_type(manifest, PARCEL_TYPE)
    if len(lines) > 1 + MAX_ITEMS + MAX_FILES:
        raise TrustError("parcel-shape", "包裹内文件过多。", "Too many items in one parcel.")
    envelopes, files = [], []
    for line in lines[1:]:
        match = _FILE.fullmatch(line)
        if match:
            files.append((match[2].decode(), _decode(match[1])))
        elif files:
            raise TrustError("parcel-shape", "不是包裹。", "Envelopes come before files in a parcel.")
        else:
            envelopes.append(line)
    return RawParcel(manifest, tuple(envelopes), tuple(files))


def _spell_file(path: str, content: bytes) -> bytes:
    return b'{"data":"%b","path":"%b"}' % (base64.b64encode(content), path.encode())


def _decode(text: bytes) -> bytes:
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        raise TrustError("parcel-shape", "base64 写法不对。", "This is not base64 in its one spelling.") from error
    if binascii.b2a_base64(data, newline=False) != text:
        raise TrustError("parcel-shape", "base64 写法不对。", "This is not base64 in its one spelling.")
    return data


def _not_bundle(zh: str, en: str) -> TrustError:
    return TrustError(
        "bundle-shape",
        f"这不是数据包文件{zh}。压缩过的请先解压。",
        f"This is not a bundle{en}. Unpack it first where it was packed.",
    )

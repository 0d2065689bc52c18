"""A refresh of the member list of 3,000 members with nothing changed: bytes over the network and milliseconds.

The bare part is python-tuf's own `Updater` over the same files, with nothing of ours: the same signatures, versions and
expiry, no target read. A change of one member is told beside it: what a reader fetches then, and what the list weighs.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from bench.telling import tell
from federation.changes import key_entry, rename
from federation.drafts import Draft, complete, found, propose, read_outcome, sign_draft
from federation.editions import resign
from federation.keys import new_identifier, new_private_pem, public_pem, read_signer
from federation.membership import MemberList, refresh
from federation.roll import MemberEntry, Officer, Roll

MEMBERS = 3_000
LIMITS = {"ratio": 6.0}


class _Counting:
    """A server in memory that counts what is fetched from it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.requests, self.size = files, 0, 0

    def __call__(self, path: str) -> bytes | None:
        data = self.files.get(path)
        self.requests += 1
        self.size += len(data or b"")
        return data


class _Plain(FetcherInterface):
    def __init__(self, server: _Counting) -> None:
        self.server = server

    def _fetch(self, url: str) -> Iterator[bytes]:
        data = self.server(url.removeprefix("/"))
        if data is None:
            raise DownloadHTTPError("not served", 404)
        return iter((data,))


def make_list(members: int, now: datetime) -> tuple[MemberList, list[Any], Any]:
    """Return a list of so many members, its three officers' signers and the hub's."""
    officers, hub = [read_signer(new_private_pem()) for _ in range(3)], read_signer(new_private_pem())
    entries = {}
    for number in range(members):
        signer = read_signer(new_private_pem()) if number else hub
        entry = MemberEntry(
            new_identifier("n"),
            f"示例职业技术学院第 {number} 号",
            (key_entry(public_pem(signer.public_key)),),
            code=f"{10_000 + number}",
            url=f"https://union-{number}.example.edu",
            roles=() if number else ("hub",),
            groups=("counties",) if number % 10 == 0 else (),
            sealing_key="A" * 43 + "=",
        )
        entries[entry.id] = entry
    hub_id = next(entry.id for entry in entries.values() if entry.roles)
    named = tuple(Officer(f"{n}", public_pem(officer.public_key)) for n, officer in enumerate(officers))
    roll = Roll(new_identifier("f"), "示例", hub_id, hub.public_key.keyid, named, 2, entries)
    return complete(None, _signed(None, found(roll, now=now), officers), hub, now=now), officers, hub


def run(members: int = MEMBERS) -> dict[str, float]:
    """Return the figures of one run."""
    now = datetime.now(UTC)
    first, officers, hub = make_list(members, now)
    root = first.files["1.root.json"]
    started = time.perf_counter()
    held = refresh(root, {}, first.files.get, federation=first.federation, now=now)
    fresh = time.perf_counter() - started
    today = _Counting(resign(dict(first.files), hub, now=now + timedelta(minutes=1)))
    ours = _seconds(lambda: refresh(root, held.files, today, federation=held.federation, now=now))
    bare = _seconds(lambda: _bare(root, dict(held.files), today))
    once = _Counting(today.files)
    refresh(root, held.files, once, federation=held.federation, now=now)
    someone = next(iter(first.members))
    draft = propose(first, rename(someone, "新名"), now=now)
    changed = _Counting(dict(complete(first, _signed(first, draft, officers), hub, now=now).files))
    started = time.perf_counter()
    refresh(root, held.files, changed, federation=held.federation, now=now)
    return {
        "members": members,
        "list_bytes": sum(len(data) for data in first.files.values()),
        "list_files": len(first.files),
        "first_refresh_ms": round(fresh * 1000, 1),
        "unchanged_requests": once.requests,
        "unchanged_bytes": once.size,
        "unchanged_ms": round(ours * 1000, 1),
        "bare_ms": round(bare * 1000, 1),
        "ratio": round(ours / bare, 2),
        "one_changed_requests": changed.requests,
        "one_changed_bytes": changed.size,
        "one_changed_ms": round((time.perf_counter() - started) * 1000, 1),
    }


def _signed(held: MemberList | None, draft: Draft, officers: list[Any]) -> Draft:
    for officer in officers[:2]:
        draft = sign_draft(held, draft, officer, seen=read_outcome(held, draft))
    return draft


def _bare(root: bytes, held: dict[str, bytes], server: _Counting) -> None:
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder)
        for path, data in held.items():
            if not path.startswith("targets/") and not path.endswith("root.json"):
                (metadata / path.partition(".json")[0].split(".")[-1]).with_suffix(".json").write_bytes(data)
        Updater(folder, "/", fetcher=_Plain(server), bootstrap=root).refresh()


def _seconds(work: Callable[[], Any], times: int = 7) -> float:
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    tell(run, LIMITS, __doc__, members=MEMBERS)

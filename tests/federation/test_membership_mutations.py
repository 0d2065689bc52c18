"""Whatever a server serves, a refresh gives the list or one clear refusal: no other error, and no half list.

Two kinds of damage: bytes changed on the way, and documents whose content is changed and signed again by everybody who
may sign, so that the faults lie behind the signatures.
"""

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from federation.changes import add_member
from federation.documents import sha256_hex
from federation.drafts import place_hold
from federation.editions import resign
from federation.errors import TrustError
from federation.membership import MemberList, refresh
from federation.metadata import role_of, target_name
from tests.federation.conftest import Circle, entry_of, new_signer

STRANGE: list[Any] = [None, True, 0, -1, 2**53, "", "x", "f" * 64, [], {}, [{}], {"": {}}]


@pytest.fixture(scope="module")
def full() -> Circle:
    """Return a federation with members and a hold: every kind of file is served."""
    circle = Circle()
    member = entry_of(new_signer(), "甲学院")
    circle.change(add_member(member), add_member(entry_of(new_signer(), "乙学院")))
    officer = circle.officers[0]
    circle.publish(place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now), officer)
    return circle


def _read(circle: Circle, files: dict[str, bytes], root: bytes = b"") -> MemberList | None:
    """Return what a newcomer reads, None where it is refused in words; any other error fails the test."""
    try:
        return refresh(root or circle.root, {}, files.get, federation=circle.federation, now=circle.now)
    except TrustError:
        return None


def test_bytes_changed_on_the_way_change_nothing_that_is_believed(full: Circle) -> None:
    chance = random.Random(4)  # noqa: S311
    for _ in range(150):
        path = chance.choice(sorted(full.served))
        data = bytearray(full.served[path])
        for _ in range(chance.choice((1, 1, 3))):
            place = chance.randrange(len(data))
            kind = chance.randrange(3)
            if kind == 0:
                data[place] ^= 1 << chance.randrange(8)
            elif kind == 1:
                del data[place]
            else:
                data.insert(place, chance.randrange(256))
        files = {**full.served, path: bytes(data)}
        found = _read(full, files)
        if found is not None:  # where the change means nothing, such as a dead signature beside two good ones
            believed = (found.roll, found.holds, found.expiries)
            assert believed == (full.latest.roll, full.latest.holds, full.latest.expiries)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from _places(part, (*path, key))


def _changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    document = copy.deepcopy(document)
    part = document
    for step in place[:-1]:
        part = part[step]
    if value == "delete":
        del part[place[-1]]
    else:
        part[place[-1]] = value
    return document


@pytest.mark.parametrize("role", ["root", "targets", "snapshot", "timestamp", "hold"])
def test_metadata_that_is_wrong_behind_its_signatures_is_refused_in_words(full: Circle, role: str) -> None:
    chance = random.Random(role)  # noqa: S311
    path = full.path(role)
    document = json.loads(full.served[path])
    refused = tried = 0
    for place in _places(document["signed"]):
        for value in chance.sample([*STRANGE, "delete"], 3):
            changed = _sign_again(full, _changed(document["signed"], place, value))
            found = _read(full, {**full.served, path: changed}, changed if role == "root" else b"")
            tried, refused = tried + 1, refused + (found is None)
    assert refused > tried * 0.8  # the rest are lengths and digests that need not be there


def _sign_again(circle: Circle, signed: dict[str, Any]) -> bytes:
    """Sign what is there as far as it can be signed; a document that python-tuf cannot write stays unsigned."""
    document = {"signatures": [], "signed": signed}
    try:
        metadata: Metadata[Any] = Metadata.from_dict(copy.deepcopy(document))
        for signer in (*circle.officers, circle.hub):
            metadata.sign(signer, append=True)
        return metadata.to_bytes()
    except Exception:  # noqa: BLE001  the library's own errors for what cannot be written
        return json.dumps(document).encode()


@pytest.mark.parametrize("kind", ["index.json", "members-", "hold.json"])
def test_targets_that_are_wrong_behind_their_signatures_are_refused_in_words(full: Circle, kind: str) -> None:
    chance = random.Random(kind)  # noqa: S311
    role = "hold" if kind == "hold.json" else "targets"
    metadata: Metadata[Any] = Metadata.from_bytes(full.served[full.path(role)])
    path = next(path for path in metadata.signed.targets if path.startswith(kind))
    content = full.served[target_name(path, metadata.signed.targets[path].hashes["sha256"])]
    document = json.loads(content)
    accepted = tried = 0
    for place in _places(document):
        for value in chance.sample([*STRANGE, "delete"], 4):
            data = json.dumps(_changed(document, place, value), ensure_ascii=False).encode()
            accepted, tried = accepted + (_read(full, _with_target(full, path, data)) is not None), tried + 1
    assert accepted < tried * 0.3  # texts that may be anything, and members that need not be there


def _with_target(circle: Circle, path: str, data: bytes) -> dict[str, bytes]:
    """Return the files with one target exchanged, signed anew by everybody who signs."""
    role = "hold" if path == "hold.json" else "targets"
    name = circle.path(role)
    assert role_of(name) == role
    metadata: Metadata[Any] = Metadata.from_bytes(circle.served[name])
    files = dict(circle.served)
    contents = {path: data}
    if path.startswith("members-"):
        index = json.loads(files[target_name("index.json", metadata.signed.targets["index.json"].hashes["sha256"])])
        index["files"][path] = sha256_hex(data)
        contents["index.json"] = json.dumps(index).encode()
    for each, content in contents.items():
        metadata.signed.targets[each].length = len(content)
        metadata.signed.targets[each].hashes = {"sha256": sha256_hex(content)}
        files[target_name(each, sha256_hex(content))] = content
    metadata.signatures.clear()
    for officer in circle.officers:
        metadata.sign(officer, append=True)
    files[name] = metadata.to_bytes()
    return resign(files, circle.hub, now=circle.now)

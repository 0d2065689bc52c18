"""Mutated envelopes and requests: none is taken under another id or twice, and none ends in anything but a refusal.

The short form runs with all tests; GONGHUI_SOAK=1 runs the long one.
"""

import os
import random
from collections import Counter
from collections.abc import Callable

from sqlmodel import col, func, select

from federation.envelope import join_page
from federation.errors import GonghuiError
from node.exchange import inbox
from node.exchange.api import pull
from node.stream.models import Equivocation, StoredRecord, UsedNonce
from tests.exchange.conftest import World, sample_schema, world  # noqa: F401  fixtures

LONG = bool(os.environ.get("GONGHUI_SOAK"))
ENVELOPES, REQUESTS = (50_000, 10_000) if LONG else (2_000, 500)  # others on each kind of database: 100,000, 20,000
_BATCH = 500
Note = Callable[[str, object], None]


def mutate(rng: random.Random, sound: bytes, other: bytes) -> bytes:
    """Return `sound` with one to three changes: bits, bytes, pieces taken out, doubled, moved, or another's."""
    data = bytearray(sound)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(data)), rng.randint(1, 40)
        match rng.randrange(7):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice(b'"{}[]:,\\0123456789abcdefABCDEF+/=\x00\xff \n')
            case 2:
                del data[at : at + size]
            case 3:
                data[at:at] = data[at : at + size]
            case 4:
                start = rng.randrange(len(other))
                data[at : at + size] = other[start : start + size]
            case 5:
                data[at:at] = rng.randbytes(rng.randint(1, 4))
            case _:
                del data[rng.randrange(len(data) // 2, len(data)) :]
        if not data:
            return b"{"
    return bytes(data)


def _dice(world: World) -> random.Random:  # noqa: F811
    return random.Random(world.hub.database.engine.dialect.name)  # noqa: S311  a seed, not a secret


def test_no_mutated_envelope_is_taken(world: World, record_property: Note) -> None:  # noqa: F811
    college, other = world.add_college(), world.add_college()
    sound = [world.append(college, n).envelope for n in (1, 2)] + [world.append(other, 3).envelope]
    for envelope in sound:
        assert world.receive(world.hub, envelope).verdict == "accepted"
    with world.hub.database.read() as session:
        held = {row.id: row.envelope for row in session.exec(select(StoredRecord)).all()}
    rng, said = _dice(world), Counter[str]()
    for start in range(0, ENVELOPES, _BATCH):
        with world.hub.database.write() as session:
            for _ in range(min(_BATCH, ENVELOPES - start)):
                base = rng.randrange(3)
                outcome = inbox.receive(
                    session, world.hub, mutate(rng, sound[base], sound[base - 1]), world.handlers, via=inbox.PUSH
                )
                said[str(outcome.verdict)] += 1
                assert outcome.verdict in {"refused", "waiting", "duplicate"}
                assert outcome.verdict != "duplicate" or outcome.record_id in held
    assert said["refused"] > ENVELOPES // 2
    with world.hub.database.read() as session:
        assert {row.id: row.envelope for row in session.exec(select(StoredRecord)).all()} == held
        assert session.exec(select(func.count()).select_from(Equivocation)).one() == 0
    assert set(world.seen.taken) == set(held)
    record_property("figure", f"mutated envelopes: {said.total()}, {dict(said)}; none taken under another id or twice")


def test_no_mutated_request_is_answered(world: World, record_property: Note) -> None:  # noqa: F811
    college, other = world.add_college(), world.add_college()
    sound = [join_page([world.request(one, "pull", {"cursor": 0})]) for one in (college, other)]
    for page in sound:
        assert pull(world.hub, page).status_code == 200
    rng, said = _dice(world), Counter[str]()
    for _ in range(REQUESTS):
        base = rng.randrange(2)
        try:
            pull(world.hub, mutate(rng, sound[base], sound[base - 1]))
        except GonghuiError as error:  # anything else would be unhandled
            said[error.code] += 1
        else:
            raise AssertionError
    assert said["envelope-shape"] + said["page-shape"] > REQUESTS // 3
    assert said["signature-invalid"]
    with world.hub.database.read() as session:
        nonces = session.exec(select(col(UsedNonce.origin))).all()
    assert sorted(nonces) == sorted(f"{world.federation} {one.node_id}" for one in (college, other))
    record_property("figure", f"mutated requests: {said.total()}, refused with {len(said)} codes; none answered")

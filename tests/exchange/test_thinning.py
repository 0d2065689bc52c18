"""Checkpoints and cosignatures do not grow for ever, and what a proof needs stays."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlmodel import Session, select

from node.exchange.thinning import choose_kept, thin_out
from node.stream.models import Cosigned, OwnCheckpoint
from tests.exchange.conftest import START, World


def _hours(first: int, last: int, step: int = 1) -> Iterator[datetime]:
    return (START - timedelta(hours=hour) for hour in range(first, last, step))


def test_three_years_of_hourly_checkpoints_stay_few_and_cover_each_day() -> None:
    times = list(_hours(0, 24 * 1_095))
    kept = choose_kept(times, START)
    assert len(kept) < 24 * 36 + 370 + 30
    assert set(_hours(0, 24 * 35)) <= kept
    for day in range(36, 400):  # some checkpoint within a day covers what was signed then
        assert any(START - timedelta(days=day) <= at <= START - timedelta(days=day - 1) for at in kept)
    assert choose_kept(kept, START) == kept
    later = START + timedelta(days=90)
    assert choose_kept(choose_kept(times, START), later) == choose_kept(times, later)  # thinned often or seldom


def _checkpoint(session: Session, world: World, name: str, at: datetime, *witnesses: str) -> None:
    own = world.hub.node_id
    row = OwnCheckpoint(
        id=name, federation=world.federation, size=1, audit_size=1, audit_head="", envelope=b"", issued_at=at
    )
    session.add(row)
    for witness in witnesses:
        _cosigned(session, world, f"{name}{witness}", own, witness, name, at)


def _cosigned(
    session: Session, world: World, name: str, origin: str, witness: str, checkpoint: str, at: datetime, **more: bool
) -> None:
    row = Cosigned(
        id=name, federation=world.federation, origin=origin, witness=witness, checkpoint=checkpoint, size=1,
        cosigned_at=at, envelope=b"", **more,
    )  # fmt: skip
    session.add(row)


def test_what_is_superseded_goes_with_its_cosignatures(world: World) -> None:
    day = START - timedelta(days=60)
    with world.hub.database.write() as session:
        _checkpoint(session, world, "early", day, "w")
        _checkpoint(session, world, "late", day + timedelta(hours=1), "w")
        _checkpoint(session, world, "alone", day + timedelta(hours=2))
        _checkpoint(session, world, "young", START - timedelta(days=3))
        for number in range(4):
            at, us = day + timedelta(hours=number), world.hub.node_id
            _cosigned(session, world, f"ours{number}", "n-o", us, f"c{number}", at, to_send=number == 1)
        assert thin_out(session, world.hub.node_id, world.federation, START) == 2
    with world.hub.database.read() as session:
        assert set(session.exec(select(OwnCheckpoint.id)).all()) == {"late", "young"}
        assert set(session.exec(select(Cosigned.id)).all()) == {"latew", "ours1", "ours3"}

"""Holds (临时暂停): one officer's word keeps a member out for at most 14 days, once for each edition of the targets.

    place   an entry of hold.json that names the edition (version of targets) under which it was made
    lift    the same entry, ended earlier; it stays until t officers have signed another edition

So whoever holds an entry made under the present edition finds it in every later hold.json of that edition, unchanged or
ended earlier: one officer cannot renew it, nor lift it and place it again. An entry of an earlier edition, or of an
earlier program that named none, may go or make room. Nothing is stored here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from federation.errors import Conflict, TrustError
from federation.metadata import HOLD, check_metadata, role_of, target_name, version_in
from federation.roll import HOLD_DAYS, HOLDS, Hold, read_holds


def placed_in(files: Mapping[str, bytes]) -> tuple[Hold, ...]:
    """Return every entry of the newest hold.json among the files of a list, ended ones too."""
    newest = max((path for path in files if role_of(path) == HOLD), key=version_in, default="")
    if not newest:
        return ()
    target = check_metadata(files[newest], HOLD).signed.targets[HOLDS]
    data = files.get(target_name(HOLDS, target.hashes["sha256"]))
    return read_holds(data) if data is not None else ()


def is_ended_earlier(before: Hold, after: Hold) -> bool:
    """Tell whether `after` is the entry `before` with an earlier end: lifted."""
    return after.until < before.until and replace(after, until=before.until) == before


def check_holds(found: Iterable[Hold], edition: int, held: Iterable[Hold], held_edition: int) -> None:
    """Raise TrustError where one officer renewed, or took back, a hold that was made under this edition of targets.

    `held` are the entries that the reader has. Another edition since then is t officers' word: anything may follow.
    """
    now, before = {hold.member: hold for hold in found}, {hold.member: hold for hold in held}
    if any(hold.targets > edition for hold in now.values()):
        raise _wrong_edition()
    if edition != held_edition:
        return
    for member, hold in before.items():
        after = now.get(member)
        kept = after is not None and (after == hold or is_ended_earlier(hold, after))
        if hold.targets == edition and not kept:
            raise _renewed()
        if kept:
            now.pop(member)
    if any(hold.targets != edition for hold in now.values()):
        raise _wrong_edition()


def with_hold(placed: Iterable[Hold], hold: Hold, now: datetime) -> tuple[Hold, ...]:
    """Return the entries with a new one; raise Conflict where the member was held under this edition already."""
    if any(one.member == hold.member and one.targets == hold.targets for one in placed):
        refused = _renewed()  # what its readers would say
        raise Conflict(refused.code, *refused.text)
    return (*(one for one in _kept(placed, hold.targets, now) if one.member != hold.member), hold)


def without_hold(placed: Iterable[Hold], member_id: str, edition: int, now: datetime) -> tuple[Hold, ...]:
    """Return the entries with the member's ended at `now`."""
    now = now.replace(microsecond=0)
    kept = []
    for one in _kept(placed, edition, now):
        if one.member == member_id and one.until > now:
            one = replace(one, until=max(now, one.since + timedelta(seconds=1)))  # noqa: PLW2901
        if one.member != member_id or one.targets == edition:
            kept.append(one)
    return tuple(kept)


def new_hold(member_id: str, officer: str, edition: int, *, now: datetime, reason: str, days: int) -> Hold:
    """Return the entry by which an officer (key id) holds a member from `now` on."""
    since = now.replace(microsecond=0)
    return Hold(member_id, since, since + timedelta(days=min(days, HOLD_DAYS)), officer, reason, edition)


def _kept(placed: Iterable[Hold], edition: int, now: datetime) -> Iterable[Hold]:
    return (one for one in placed if now < one.until or one.targets == edition)


def _renewed() -> TrustError:
    return TrustError(
        "hold-renewed",
        "同一版名录下，一个成员只能被临时暂停一次；继续停用须由足够的签署人决定（enrol suspend）。",
        "Under one edition of the list a member is held once; to keep it out, t officers decide (`enrol suspend`).",
    )


def _wrong_edition() -> TrustError:
    return TrustError(
        "hold-edition",
        "临时暂停没有写明所依据的名录版次；请升级签署人的程序。",
        "A hold does not name the edition of the list it was made under; update the officer's program.",
    )

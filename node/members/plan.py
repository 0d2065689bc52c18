"""What a roster would change, worked out without writing: the preview, and exactly what a confirmation applies.

A value that differs from the roster's date on opens a new spell; birth date, gender and name correct the old. Nobody
is dropped for being absent: absent persons are proposed as leavers.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from federation.errors import Text
from node.intake.errors import Problem
from node.intake.headers import KEYS, MEMBERSHIP
from node.intake.identity import digests
from node.intake.rows import ZEROS_LOST, Roster, twice
from node.intake.values import UNKNOWN
from node.members.known import FACT_FIELDS, STAFF_FIELDS, Known, KnownSpell

_ON_THE_JOB = "11"
_BLANK = {"department": "", "contract_end": None, "status": _ON_THE_JOB}
_REASON_OF_STATUS = {"01": "RETIRE", "02": "RETIRE", "05": "TRANSFER", "06": "QUIT", "07": "QUIT"}
_DISAGREE = Problem(
    "keys-disagree",
    "工号与身份证号（或会员号）指向两个已有的人。请核对。",
    "Staff number and ID (or member) number belong to two known persons. Check them.",
)


@dataclass(frozen=True)
class Leaver:
    """Somebody who is believed to be here and is absent from a full roster."""

    person_id: str
    staff_no: str
    name: str


@dataclass
class Plan:
    """Rows to insert and to un-learn, on top of change `base`; tuples in the order of the tables' columns."""

    base: int
    as_of: date
    complete: bool
    kind: str
    fields: tuple[str, ...]
    persons: list[str] = field(default_factory=list)
    links: list[tuple[str, str, str]] = field(default_factory=list)  # person, kind, digest
    facts: list[tuple[Any, ...]] = field(default_factory=list)  # person, FACT_FIELDS
    staff: list[tuple[Any, ...]] = field(default_factory=list)  # person, from, to, STAFF_FIELDS
    members: list[tuple[Any, ...]] = field(default_factory=list)  # person, from, to, reason
    old_facts: list[int] = field(default_factory=list)
    old_staff: list[int] = field(default_factory=list)
    old_members: list[int] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    membership_ended: int = 0
    leavers: list[Leaver] = field(default_factory=list)
    leaving: dict[str, tuple[KnownSpell | None, KnownSpell | None]] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Tell whether nothing that is believed would change."""
        return not (self.persons or self.changed or self.links)

    def leave(self, person_id: str, reason: str) -> None:
        """End employment and membership of a proposed leaver on the roster's date."""
        staff, member = self.leaving[person_id]
        if staff is not None:
            self.old_staff.append(staff.row_id)
            if staff.start < self.as_of:
                self.staff.append((person_id, staff.start, self.as_of, *staff.values))
        if member is not None:
            self.end_membership(person_id, member, reason)
        self.changed.append(person_id)

    def end_membership(self, person_id: str, spell: KnownSpell, reason: str) -> None:
        """End a membership on the roster's date."""
        self.old_members.append(spell.row_id)
        if spell.start < self.as_of:
            self.members.append((person_id, spell.start, self.as_of, reason))


def make_plan(roster: Roster, known: Known, *, as_of: date, complete: bool, link_key: bytes, match_zeros: bool) -> Plan:
    """Compare a roster with what is known; adds to `roster.errors` what only the comparison shows."""
    plan = Plan(known.number, as_of, complete, roster.kind, _supplied(roster))
    hashed = {key: digests(link_key, key, roster.data[key]) for key in KEYS if key in roster.data}
    if not match_zeros:
        _check_zeros(roster, known)
    people, seen = _match(roster, known, hashed, link_key if match_zeros else None)
    table = _Rows(roster, complete=complete)
    fresh = iter(_new_ids(len(roster)))
    rows: dict[str, int] = {}
    for index, person_id in enumerate(people):
        if index in roster.refused:
            continue
        if person_id is not None and rows.setdefault(person_id, index) != index:  # told apart by other keys, yet one
            roster.add_error(index, KEYS[0], twice(roster.places[rows[person_id]]))
            continue
        if person_id is None:
            _plan_new(plan, table, index, next(fresh))
        else:
            _plan_known(plan, table, index, person_id, known)
    _note_blank_membership(roster)
    _plan_links(plan, roster, known, hashed, people)
    if complete:
        _find_leavers(plan, known, seen)
    return plan


def _note_blank_membership(roster: Roster) -> None:
    """Say how many rows leave open who is a member, where others of the file tell it."""
    member = _membership(roster) or []
    blank = sum(told is None for index, told in enumerate(member) if index not in roster.refused)
    if blank and any(told is not None for told in member):
        roster.notes.append(
            Text(
                f"{blank} 行没有说明是否会员，这些人的会籍不变，新人不计为会员。",
                f"{blank} rows do not say who is a member: membership stays as known, new persons count as none.",
            )
        )


def _supplied(roster: Roster) -> tuple[str, ...]:
    """Return the canonical fields the source tells, as `DataChange.fields` keeps them.

    `member_since` is among them only where every member of the file has a date: otherwise somebody's membership seems
    to begin on the roster's date, and joiners cannot be told from those who were members already.
    """
    fields = set(roster.fields) - set(MEMBERSHIP)
    member = _membership(roster)
    if member is not None and any(told is not None for told in member):  # an empty column tells nothing
        fields.add("membership")
        since = roster.data.get("member_since", [None] * len(roster))
        rows = zip(range(len(roster)), member, since, strict=True)
        if all(day is not None for index, told, day in rows if told and index not in roster.refused):
            fields.add("member_since")
    if "title" in fields:
        fields.add("title_level")
    if roster.kind == "staff":
        fields.add("staff")
    return tuple(sorted(fields))


def _new_ids(count: int) -> list[str]:
    text = os.urandom(16 * count).hex()
    return [text[start : start + 32] for start in range(0, len(text), 32)]


class _Rows:
    """The roster row by row, in the order the tables want."""

    def __init__(self, roster: Roster, *, complete: bool) -> None:
        size, data = len(roster), roster.data
        self.kind = roster.kind
        self.facts = list(zip(*(data.get(n, [_fact_blank(n)] * size) for n in FACT_FIELDS), strict=True))
        self.staff = list(zip(*(data.get(n, [_BLANK.get(n, UNKNOWN)] * size) for n in STAFF_FIELDS), strict=True))
        self.tells = [name in data or (name == "status" and complete) for name in STAFF_FIELDS]
        self.tells_all = all(self.tells)
        self.tells_staff = roster.kind == "staff" or any(name in data for name in STAFF_FIELDS)
        self.since = data.get("member_since", [None] * size)
        self.member = _membership(roster)


def _fact_blank(name: str) -> Any:
    return {"gender": UNKNOWN, "birth_date": None}.get(name, "")


def _membership(roster: Roster) -> list[bool | None] | None:
    """Return who is a member by row, None where the file does not tell; None where it has no such column."""
    if not roster.fields.intersection(MEMBERSHIP):
        return None
    if roster.kind == "members" and "is_member" not in roster.data:
        return [True] * len(roster)
    blank = [None] * len(roster)
    told = roster.data.get("is_member", blank)
    signs = zip(roster.data.get("member_since", blank), roster.data.get("member_no", blank), strict=True)
    silent = None if "is_member" in roster.data else False
    return [
        said if said is not None else (True if any(sign) else silent) for said, sign in zip(told, signs, strict=True)
    ]


def _match(
    roster: Roster, known: Known, hashed: Mapping[str, list[str | None]], zeros_key: bytes | None
) -> tuple[list[str | None], set[str]]:
    """Return the known person of each row, and everybody who was seen (in refused rows too)."""
    people: list[str | None] = [None] * len(roster)
    seen: set[str] = set()
    stripped = _stripped(known) if zeros_key is not None and "staff_no" in roster.data else {}
    for kind, column in hashed.items():
        links = known.links.get(kind, {})
        if not links and not (kind == "staff_no" and stripped):
            continue
        for index, digest in enumerate(column):
            person_id = links.get(digest) if digest else None
            if person_id is None and kind == "staff_no" and stripped:
                person_id = stripped.get(roster.data["staff_no"][index])
                if person_id is not None:
                    roster.data["staff_no"][index] = known.facts[person_id][1][1]
            if person_id is None:
                continue
            seen.add(person_id)
            if people[index] is None:
                people[index] = person_id
            elif people[index] != person_id and index not in roster.refused:
                roster.add_error(index, kind, _DISAGREE)
    return people, seen


def _stripped(known: Known) -> dict[str, str]:
    """Return staff numbers without their leading zeros, of those that have some."""
    found: dict[str, list[str]] = {}
    for person_id, (_, values) in known.facts.items():
        if values[1].startswith("0") and (rest := values[1].lstrip("0")):
            found.setdefault(rest, []).append(person_id)
    return {rest: people[0] for rest, people in found.items() if len(people) == 1}  # two that differ in zeros: neither


def _check_zeros(roster: Roster, known: Known) -> None:
    lost = _stripped(known)
    if not lost:
        return
    exact = {values[1] for _, values in known.facts.values()}
    for index, number in enumerate(roster.data.get("staff_no", ())):
        if number in lost and number not in exact:
            roster.add_error(index, "staff_no", ZEROS_LOST, number)


def _plan_new(plan: Plan, table: _Rows, index: int, person_id: str) -> None:
    plan.persons.append(person_id)
    plan.facts.append((person_id, *table.facts[index]))
    if table.kind == "staff":
        plan.staff.append((person_id, plan.as_of, None, *table.staff[index]))
    if table.member is not None and table.member[index]:
        plan.members.append((person_id, table.since[index] or plan.as_of, None, ""))


def _plan_known(plan: Plan, table: _Rows, index: int, person_id: str, known: Known) -> None:
    changed = _correct_facts(plan, table.facts[index], person_id, known)
    if table.tells_staff:
        changed |= _place_staff(plan, table, index, person_id, known.staff.get(person_id, []))
    if table.member is not None and table.member[index] is not None:
        spells = known.members.get(person_id, [])
        if table.member[index]:
            changed |= _place_member(plan, table.since[index], person_id, spells)
        elif current := _covering(spells, plan.as_of):
            plan.end_membership(person_id, current, _REASON_OF_STATUS.get(table.staff[index][0], UNKNOWN))
            plan.membership_ended += 1
            changed = True
    if changed:
        plan.changed.append(person_id)
    else:
        plan.unchanged += 1


def _correct_facts(plan: Plan, told: tuple[Any, ...], person_id: str, known: Known) -> bool:
    """Correct what does not change in the world; a blank corrects nothing."""
    row_id, old = known.facts[person_id]
    if told == old:
        return False
    new = tuple(before if value in {"", None, UNKNOWN} else value for value, before in zip(told, old, strict=True))
    if new == old:
        return False
    plan.old_facts.append(row_id)
    plan.facts.append((person_id, *new))
    return True


def _covering(spells: Iterable[KnownSpell], day: date) -> KnownSpell | None:
    return next((spell for spell in spells if spell.covers(day)), None)


def _place_staff(plan: Plan, table: _Rows, index: int, person_id: str, spells: list[KnownSpell]) -> bool:
    """Let the row's codes hold from the roster's date until the next spell that is known."""
    day, told = plan.as_of, table.staff[index]
    current = _covering(spells, day)
    following = next((spell for spell in spells if spell.start > day), None)
    base = current or following
    if base is not None and not table.tells_all:
        told = tuple(
            value if tells else before for value, tells, before in zip(told, table.tells, base.values, strict=True)
        )
    if current is not None:
        if current.values == told:
            return False
        plan.old_staff.append(current.row_id)
        if current.start < day:
            plan.staff.append((person_id, current.start, day, *current.values))
        plan.staff.append((person_id, day, current.end, *told))
        return True
    if following is not None and following.values == told:
        plan.old_staff.append(following.row_id)
        plan.staff.append((person_id, day, following.end, *told))
    else:
        plan.staff.append((person_id, day, following.start if following else None, *told))
    return True


def _place_member(plan: Plan, since: date | None, person_id: str, spells: list[KnownSpell]) -> bool:
    """Let the membership cover the roster's date; a date of entry corrects when it began."""
    current = _covering(spells, plan.as_of)
    earlier = [spell.end for spell in spells if spell.end is not None and spell.end <= plan.as_of]
    floor = max(earlier, default=date.min)
    if current is not None:
        if since is None or since == current.start or since < floor:
            return False
        plan.old_members.append(current.row_id)
        plan.members.append((person_id, since, current.end, *current.values))
        return True
    start = since if since is not None and since >= floor else plan.as_of
    following = next((spell for spell in spells if spell.start > plan.as_of), None)
    if following is not None:
        plan.old_members.append(following.row_id)
    plan.members.append(
        (person_id, start, following.end if following else None, *(following.values if following else ("",)))
    )
    return True


def _plan_links(
    plan: Plan, roster: Roster, known: Known, hashed: Mapping[str, list[str | None]], people: list[str | None]
) -> None:
    """Remember every key that is not known yet."""
    fresh = iter(plan.persons)
    owners = [None if index in roster.refused else person_id or next(fresh) for index, person_id in enumerate(people)]
    for kind, column in hashed.items():
        links = known.links.get(kind, {})
        plan.links.extend(
            (owner, kind, digest)
            for owner, digest in zip(owners, column, strict=True)
            if owner is not None and digest is not None and digest not in links
        )


def _find_leavers(plan: Plan, known: Known, seen: set[str]) -> None:
    here = known.staff if plan.kind == "staff" else known.members
    for person_id, spells in here.items():
        if person_id in seen or (current := _covering(spells, plan.as_of)) is None:
            continue
        if plan.kind == "staff" and not current.values[0].startswith("1"):
            continue
        member = _covering(known.members.get(person_id, ()), plan.as_of)
        plan.leaving[person_id] = (current if plan.kind == "staff" else None, member)
        name, staff_no = known.facts[person_id][1][:2]
        plan.leavers.append(Leaver(person_id, staff_no, name))
    plan.leavers.sort(key=lambda leaver: (leaver.staff_no, leaver.name))

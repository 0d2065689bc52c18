"""A generated college with 40 dataflows a month: persons who join, leave, grow older and are promoted.

Its catalogue is made of the program's own dimensions and rules. Staff and members in three-way tables, what a member
may be besides (trained, insured, ...) as parts of them in two-way and three-way tables, who joined and who left, rates.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from federation.catalogue import Catalogue, Indicator, Table, dims_key, load_catalogue
from federation.history import group_contents
from federation.periods import Period, read_period
from federation.publications import Publication, cells_of, with_counts
from node.config import PrivacySection
from node.indicators.gate import Decision, Figures, counts_of, new_publication
from node.indicators.models import Figure

Person = dict[str, str]
Content = dict[str, Any]
_DIMENSIONS = "GATCKED"
_BANDS = (35, 45, 55, 99)  # of ages in full years
_ONE_WAY: tuple[Table, ...] = ((), *((letter,) for letter in _DIMENSIONS))
_THREE_WAY: tuple[Table, ...] = ((), ("G",), ("A",), ("T",), ("G", "A"), ("G", "T"), ("A", "T"), ("G", "A", "T"))
_TWO_WAY: tuple[tuple[Table, ...], ...] = tuple(((), ("G",), (letter,), ("G", letter)) for letter in "ATKCE")
_PARTS, _DEEP_PARTS, _FLOWS, _RATES = 21, 5, 3, 6


def make_catalogue() -> Catalogue:
    """Return a catalogue of 40 dataflows, all of them monthly."""
    own = load_catalogue()
    staff, member, on_staff = (own.get(code) for code in ("MEM_STAFF_CNT", "MEM_CNT", "MEM_ON_STAFF_CNT"))
    wide = tuple(dict.fromkeys((*_ONE_WAY, ("G", "K"), *_THREE_WAY)))
    found = [_named(staff, "STA_CNT", wide), _named(member, "MBR_CNT", wide)]
    part = replace(member, total_public=False, part_of=("MBR_CNT",))
    found += [_named(part, f"P{n:02d}_CNT", _TWO_WAY[n % len(_TWO_WAY)]) for n in range(_PARTS)]
    found += [_named(part, f"Q{n:02d}_CNT", _THREE_WAY) for n in range(_DEEP_PARTS)]
    stocks = ("MBR_CNT", *(f"Q{n:02d}_CNT" for n in range(_FLOWS - 1)))
    for n, stock in enumerate(stocks):
        for event, tables in (("start", ((), ("G",), ("A",))), ("end", ((), ("G",)))):
            flow = replace(own.get("MEM_JOIN_CNT"), stock=stock, event=event)
            found.append(_named(flow, f"{'J' if event == 'start' else 'L'}{n:02d}_CNT", tables))
    for n in range(_RATES):
        rated: tuple[Table, ...] = ((), ("G",), ("A",), ("C",), ("K",))
        above = replace(on_staff, part_of=("STA_CNT",), frequencies=("M",))
        found.append(replace(above, code=f"N{n:02d}_CNT", tables=rated))
        rate = replace(own.get("MEM_DENSITY"), numerator=f"N{n:02d}_CNT", denominator="STA_CNT")
        found.append(_named(rate, f"R{n:02d}_RATE", rated))
    return replace(own, indicators={indicator.code: indicator for indicator in found})


def _named(like: Indicator, code: str, tables: Sequence[Table]) -> Indicator:
    name = f"{code.partition('_')[0]}.all"
    return replace(like, code=code, dataflow=name, tables=tuple(tables), released=tuple(tables), frequencies=("M",))


@dataclass
class College:
    """Its persons on one day; `kinds` are the indicators that count each."""

    size: int
    seed: int
    persons: list[tuple[Person, set[str]]] = field(default_factory=list)
    chance: random.Random = field(init=False)

    def __post_init__(self) -> None:
        """Hire everybody, by dice that can be repeated."""
        self.chance = random.Random(self.seed)  # noqa: S311
        self.catalogue = make_catalogue()
        self.shares = {
            code: 0.05 + 0.85 * self.chance.random()
            for code, indicator in self.catalogue.indicators.items()
            if code[0] in "PQN"
        }
        self.persons = [self._hire() for _ in range(self.size)]
        self.joined: dict[str, list[Person]] = defaultdict(list)
        self.left: dict[str, list[Person]] = defaultdict(list)

    def _code(self, letter: str, falls: float = 1.4) -> str:
        codes = [code.code for code in self.catalogue.dimensions[letter].codes]
        weights = [1 / (1 + place) ** falls for place in range(len(codes) - 1)]
        return self.chance.choices(codes, [*weights, 0.01])[0]

    def _hire(self) -> tuple[Person, set[str]]:
        person = {letter: self._code(letter) for letter in _DIMENSIONS if letter != "A"}
        person["age"] = str(self.chance.randrange(23 * 12, 60 * 12))
        kinds = {"STA_CNT"} if self.chance.random() < 0.95 else set()
        if not kinds or self.chance.random() < 0.9:
            kinds |= {"MBR_CNT", *(code for code in self.shares if code[0] in "PQ" and self._is(code))}
        return person, kinds | {
            code for code in self.shares if code[0] == "N" and "STA_CNT" in kinds and self._is(code)
        }

    def _is(self, code: str) -> bool:
        return self.chance.random() < self.shares[code]

    def pass_month(self) -> None:
        """Let a month pass: three in a thousand leave, as many join, some are promoted or change what they are."""
        self.joined.clear()
        self.left.clear()
        for person, kinds in list(self.persons):
            person["age"] = str(int(person["age"]) + 1)
            if self.chance.random() < 0.003:
                self.persons.remove((person, kinds))
                self._tell(self.left, person, kinds)
            elif self.chance.random() < 0.005:
                person["T"] = self._code("T")
            for code in [code for code in self.shares if code[0] in "PQ" and self.chance.random() < 0.004]:
                if "MBR_CNT" in kinds:
                    kinds ^= {code}
                    self._tell(self.joined if code in kinds else self.left, person, {code})
        for _ in range(round(self.size * 0.003)):
            person, kinds = self._hire()
            self.persons.append((person, kinds))
            self._tell(self.joined, person, kinds)

    def _tell(self, flow: dict[str, list[Person]], person: Person, kinds: set[str]) -> None:
        for code in kinds:
            flow[code].append(dict(person))

    def figures(self) -> Figures:
        """Return all figures of the month."""
        held: dict[str, list[Person]] = defaultdict(list)
        for person, kinds in self.persons:
            for code in kinds:
                held[code].append(person)
        found: dict[str, dict[str, Figure]] = {}
        for code, indicator in self.catalogue.indicators.items():
            if indicator.kind == "ratio":
                continue
            who = held[code] if indicator.kind == "stock" else self._moved(indicator)
            found[code] = {
                key: Figure(set_id=0, indicator=code, dims=key, status="A", value=str(count))
                for key, count in self._count(who, indicator.tables)
            }
        for code, indicator in self.catalogue.indicators.items():
            if indicator.kind == "ratio":
                found[code] = dict(self._rates(indicator, found))
        return found

    def _moved(self, indicator: Indicator) -> list[Person]:
        return (self.joined if indicator.event == "start" else self.left)[indicator.stock]

    def _count(self, who: Sequence[Person], tables: Sequence[Table]) -> Iterator[tuple[str, int]]:
        known = [person | {"A": self._band(person)} for person in who]
        for table in tables:
            counted = Counter(tuple(person[letter] for letter in table) for person in known)
            for dims in cells_of(self.catalogue, table):
                yield dims_key(dims), counted[tuple(dims.values())]

    def _band(self, person: Person) -> str:
        codes = [code.code for code in self.catalogue.dimensions["A"].codes]
        return next(code for code, band in zip(codes, _BANDS, strict=False) if int(person["age"]) < 12 * band)

    def _rates(self, indicator: Indicator, found: Mapping[str, Mapping[str, Figure]]) -> Iterator[tuple[str, Figure]]:
        for key, above in found[indicator.numerator].items():
            below = int(found[indicator.denominator][key].value)
            yield key, Figure(
                set_id=0, indicator=indicator.code, dims=key, status="A" if below else "M",
                numerator=int(above.value), denominator=below,
            )  # fmt: skip


SETTINGS = PrivacySection()


def month(number: int) -> Period:
    """Return a month, the first being January 2024."""
    return read_period(f"{2024 + number // 12}-{number % 12 + 1:02d}")


def draft(figures: Figures, number: int) -> Publication:
    """Return the release of a month before anything is decided."""
    return new_publication(figures, month(number), number + 1, SETTINGS)


def contents_of(catalogue: Catalogue, decision: Decision, number: int) -> list[Content]:
    """Return what a decision says, as it would be signed."""
    header = {
        "period": month(number).label,
        "known_at": {"number": number + 1, "at": "2026-01-01T00:00:00Z"},
        "minimum_cell": {"S1": SETTINGS.minimum_cell, "S2": SETTINGS.minimum_cell_s2},
    }
    return [
        {
            "dataflow": name,
            **header,
            "observations": [
                item.as_json(is_ratio=catalogue.indicators[item.indicator].kind == "ratio") for item in items
            ],
        }
        for name, items in decision.flows.items()
    ]


def published(catalogue: Catalogue, contents: Sequence[Content], figures: Figures) -> Publication:
    """Return a release as the node that made it knows it later."""
    [found] = group_contents(catalogue, contents)
    return with_counts(found, counts_of(figures))

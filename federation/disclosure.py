"""The gate: primary and complementary suppression over all linked tables of one release.

It is given cells (counts of persons) and relations between them (a total and its parts) and says which public cells
stay back. It knows nothing of indicators, never sees a person, and has no say in what a cell means. What then holds:

1. No cell of 1 to minimum-1 persons is published.
2. Whoever adds and subtracts everything published, over all relations at once, knowing that counts are not negative and
   guessing that a withheld cell is not zero, cannot bring a withheld cell, or a small one that is never published, down
   to a range narrower than minimum-2 (for a minimum of 5: 1 to 4 at best).
3. What a relation gives away as the sum of its unknown parts is no small number of persons.

What is withheld is chosen by weights and structure, never by a withheld value; ties are broken by a key of the node
(docs/adr/disclosure.md says what this proves and what it does not). The same cells and key give the same answer in
whatever order they come. A dear cell is spared at the price of several cheap ones; a cell without a minimum is public
by decision and is withheld only where nothing else helps.

What was published before belongs to the problem: it stays as it is, and this release may not open it. Links tie it to
the new cells: those that hold for everybody who believes that nothing was corrected (a stock on one day, a stock and
what joined and left it), and loose ones for who believes that hardly anything moved, which protect small cells alone.
"""

import hashlib
import hmac
import json
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from federation.errors import InputRefused
from federation.outsider import Outsider

Key = tuple[str, ...]
TOO_SMALL, PROTECTS = "too-small", "protects"
PUBLISHED, HELD = "published", "held"  # what became of a cell before
_CLEAN_UP_SOLVES = 2500  # a count, not a time: the answer must not depend on the machine's load


@dataclass(frozen=True)
class Cell:
    """One count of persons.

    minimum: 0 for no rule; else 1..minimum-1 persons are too few to be published. public: False for a count that is
    never on the wire and must not become derivable. known: it follows from the definitions for everybody (a structural
    zero), so it is never withheld. weight: the price of withholding it, set by the kind of table, never by the count.
    past: PUBLISHED or HELD where that was decided before, for good. between: what everybody can read off a figure that
    was moved by chance, None where there is none; `noisy` alone looks at it. block: whose room is looked for among
    themselves first, as that of one table's cells, and the blocks above that may have to move with it.
    """

    key: Key
    persons: int
    minimum: int
    public: bool = True
    known: bool = False
    weight: int = 1
    past: str = ""
    between: tuple[int, int | None] | None = None
    block: tuple[str, ...] = ()

    @property
    def is_small(self) -> bool:
        """Tell whether the count may not be published or become derivable."""
        return 0 < self.persons < self.minimum

    @property
    def width(self) -> int:
        """Return how far apart the lowest and the highest possible count must stay for an outsider."""
        return max(self.minimum - 2, 1)


@dataclass(frozen=True)
class Relation:
    """The total is the sum of its parts, by definition."""

    total: Key
    parts: tuple[Key, ...]


@dataclass(frozen=True)
class Link:
    """Two sums that time ties: the left less the right is no more than `slack`, either way.

    A loose link is somebody's guess that little moved: it protects small cells, and nothing is refused because of it.
    """

    left: tuple[Key, ...]
    right: tuple[Key, ...]
    slack: int = 0
    loose: bool = False


@dataclass(frozen=True)
class Protection:
    """What stays back and why (for the approver alone), and the counts that certainly remain possible for an outsider.

    ranges: for each withheld or never published cell a lower and an upper count that are both possible; None: no upper
    bound that says anything. They are as wide as had to be shown, not as wide as can be. lost: cells that the past
    alone gives away, whatever stays back now.
    """

    withheld: Mapping[Key, str]
    ranges: Mapping[Key, tuple[int, int | None]]
    lost: tuple[Key, ...] = ()


def protect(
    cells: Iterable[Cell],
    relations: Iterable[Relation],
    tie_key: bytes,
    links: Iterable[Link] = (),
    *,
    silent: Collection[Key] = (),
    insiders: int = 0,
) -> Protection:
    """Return what to withhold so that the three rules hold; raise InputRefused where nothing can make them hold.

    `silent` cells are withheld whatever else is. `insiders`: how many persons of each cell somebody may know by name
    and still learn nothing of the rest.
    """
    system = _System(cells, relations, tie_key, links)
    gate = _Gate(system, insiders)
    hushed = {i for i, cell in enumerate(system.cells) if cell.key in silent and system.may_withhold(i)}
    gate.withhold(dict.fromkeys([*system.small_public, *sorted(hushed)]))
    gate.guard()
    gate.clean_up(hushed)
    chosen = sorted(gate.withheld, key=system.key_of)
    return Protection(
        {system.key_of(i): TOO_SMALL if system.cells[i].is_small else PROTECTS for i in chosen},
        {system.key_of(i): gate.outsider.range_of(i) for i in sorted(gate.outsider.unknown, key=system.key_of)},
        tuple(sorted(system.key_of(i) for i in gate.lost)),
    )


def find_exact(
    cells: Iterable[Cell],
    relations: Iterable[Relation],
    withheld: Collection[Key],
    links: Iterable[Link] = (),
    *,
    insiders: int = 0,
) -> list[Key]:
    """Audit: return the withheld or small cells that can be pinned too narrowly when exactly `withheld` stays back."""
    system = _System(cells, relations, b"", links)
    gate = _Gate(system, insiders)
    gate.withhold(i for i, cell in enumerate(system.cells) if cell.public and cell.key in withheld)
    open_small = [i for i in system.small_public if i not in gate.withheld]
    return sorted(system.key_of(i) for i in (*open_small, *gate.narrow()))


class _System:
    """Cells in an order that only the key decides, relations by index, and what follows from known cells alone."""

    def __init__(
        self, cells: Iterable[Cell], relations: Iterable[Relation], tie_key: bytes, links: Iterable[Link] = ()
    ) -> None:
        self.cells = sorted(cells, key=lambda cell: (_tie(tie_key, cell.key), cell.key))
        index = {cell.key: i for i, cell in enumerate(self.cells)}
        rows = ((relation.total, *relation.parts) for relation in relations)
        if len(index) != len(self.cells) or any(cell.persons < 0 or not cell.key for cell in self.cells):
            raise _malformed(
                "gate-cells", "单元格重复、为负或没有键", "a cell is there twice, negative or without a key"
            )
        try:
            found = {(index[total], tuple(sorted(index[part] for part in parts))) for total, *parts in rows}
            tied = {
                (tuple(index[k] for k in link.left), tuple(index[k] for k in link.right), link.slack, link.loose)
                for link in links
            }
        except KeyError:
            raise _malformed(
                "gate-relations", "关系里有不存在的单元格", "a relation names a cell that is not there"
            ) from None
        self.relations = sorted(found)
        for total, parts in self.relations:
            if self.cells[total].persons != sum(self.cells[part].persons for part in parts):
                raise _malformed("gate-unbalanced", "合计不等于各部分之和", "a total is not the sum of its parts")
        self.links = sorted((left, right, slack) for left, right, slack, loose in tied if not loose)
        self.loose = sorted((left, right, slack) for left, right, slack, loose in tied if loose)
        for left, right, slack in (*self.links, *self.loose):
            if abs(sum(self.cells[i].persons for i in left) - sum(self.cells[i].persons for i in right)) > slack:
                raise _malformed("gate-unbalanced", "前后数字对不上", "a link to the past does not hold")
        self.relations_of: list[list[int]] = [[] for _ in self.cells]
        for number, (total, parts) in enumerate(self.relations):
            for cell in (total, *parts):
                self.relations_of[cell].append(number)
        self.known = [cell.known for cell in self.cells]
        self._spread_known()
        self.small_public = [i for i, cell in enumerate(self.cells) if cell.public and cell.is_small and not cell.past]
        self.hidden = [i for i, cell in enumerate(self.cells) if not cell.public and not self.known[i]]
        self.given: set[int] = set()
        self.held = [i for i, cell in enumerate(self.cells) if cell.past == HELD and not self.known[i]]

    def key_of(self, i: int) -> Key:
        """Return the key of a cell."""
        return self.cells[i].key

    def may_withhold(self, i: int) -> bool:
        """Tell whether it is for this release to say or not to say a cell."""
        return self.cells[i].public and not self.known[i] and not self.cells[i].past and i not in self.given

    def give(self, cells: Collection[int]) -> None:
        """Take cells as told by the past: withholding them would hide nothing."""
        self.given |= set(cells)

    def _spread_known(self) -> None:
        """Mark what known cells alone determine: the parts of a known zero, and the last unknown cell of a relation."""
        pending = deque(range(len(self.relations)))
        while pending:
            total, parts = self.relations[pending.popleft()]
            fresh = [i for i in (total, *parts) if not self.known[i]]
            if len(fresh) == 1 or (self.known[total] and self.cells[total].persons == 0):
                for i in fresh:
                    self.known[i] = True
                    pending.extend(self.relations_of[i])


class _Gate:
    """The choice under way: what is withheld so far, and the outsiders who see the rest.

    `outsider` believes the links, `guesser` the loose ones too; where there are none they are one.
    """

    def __init__(self, system: _System, insiders: int = 0) -> None:
        self.system = system
        self.insiders = insiders
        self.withheld: dict[int, None] = {}
        self.lost: set[int] = set()  # the past alone gives them away
        self.guessed: set[int] = set()  # and what it lets a guesser guess
        self.outsider, self.guesser = self._make_views()
        self._mute: tuple[Outsider, Outsider] | None = None
        if system.links:
            self._look_back()

    def _make_views(self) -> tuple[Outsider, Outsider]:
        """Return both, who know everything but the cells that are not for this release to publish."""
        cells, least = self.system.cells, self.insiders
        persons = [cell.persons for cell in cells]
        floors = [min(max(1, least), cell.persons) if cell.public else 0 for cell in cells]
        blocks, never = [cell.block for cell in cells], {*self.system.hidden, *self.system.held}
        outsider = Outsider(persons, floors, self.system.relations, self.system.links, blocks=blocks, never=never)
        guesser = outsider
        if self.system.loose:
            rows = [*self.system.links, *self.system.loose]
            guesser = Outsider(persons, floors, self.system.relations, rows, blocks=blocks, never=never)
        for view in {id(view): view for view in (outsider, guesser)}.values():
            view.withhold((*self.system.hidden, *self.system.held))
        return outsider, guesser

    def _look_back(self) -> None:
        """Find which cells near a tie to the past would stay open if this release said nothing at all.

        Withholding them would hide nothing. Farther ones are asked about when nothing else helps them.
        """
        cells, system = self.system.cells, self.system
        tied = dict.fromkeys(i for left, right, _ in system.links for i in (*left, *right))
        numbers = dict.fromkeys(number for i in tied for number in system.relations_of[i])
        tied |= dict.fromkeys(i for n in numbers for i in (system.relations[n][0], *system.relations[n][1]))
        small = {i for i in system.hidden if cells[i].is_small}
        asked = [i for i in tied if i in small or i in system.held or system.may_withhold(i)]
        self._silence()[0].look_around((i, cells[i].width) for i in asked)
        told = {i for i in asked if self._is_told(i)}
        self.lost = {i for i in told if cells[i].is_small or not system.may_withhold(i)}
        system.give(told - self.lost)

    def _silence(self) -> tuple[Outsider, Outsider]:
        """Return both as they would be if this release said nothing at all."""
        if self._mute is None:
            self._mute = self._make_views()
            silent = [i for i in range(len(self.system.cells)) if self.system.may_withhold(i)]
            for view in {id(view): view for view in self._mute}.values():
                view.withhold(silent)
        return self._mute

    def _is_told(self, i: int) -> bool:
        return self._silence()[0].find_binding(i, self.system.cells[i].width) is not None

    def _give_up(self, i: int) -> None:
        """Ask for nothing any more where the past alone opens a target, or lets somebody guess it; else refuse."""
        if not (self.system.links or self.system.loose):
            raise self._hopeless(i)
        if self.outsider.find_binding(i, self.system.cells[i].width) is None:
            self.guessed.add(i)
        elif self._is_told(i):
            self.lost.add(i)
        else:
            raise self._hopeless(i)

    def withhold(self, cells: Iterable[int]) -> None:
        """Keep public cells back; one that everybody knows cannot be."""
        for i in cells:
            if self.system.known[i] or self.system.cells[i].past == PUBLISHED:
                raise self._hopeless(i)
            self.withheld[i] = None
            self.outsider.withhold([i])
            if self.guesser is not self.outsider:
                self.guesser.withhold([i])

    def targets(self) -> list[int]:
        """Return the cells that nobody may pin: the withheld ones and the small ones that are never published."""
        small = (i for i in self.system.hidden if self.system.cells[i].is_small)
        return [i for i in (*self.withheld, *self.system.held, *small) if i not in self.lost]

    def find_binding(self, i: int, *, near: bool = False) -> list[int] | None:
        """Return the cells whose being known pins a target too narrowly for one of the outsiders, None for none."""
        cell = self.system.cells[i]
        binding = self.outsider.find_binding(i, cell.width, near=near)
        if binding is not None or self.guesser is self.outsider or not cell.is_small or i in self.guessed:
            return binding
        return self.guesser.find_binding(i, cell.width, near=near)

    def _look_around(self, targets: Iterable[int]) -> None:
        cells, targets = self.system.cells, list(targets)
        self.outsider.look_around((i, cells[i].width) for i in targets)
        if self.guesser is not self.outsider:
            small = (i for i in targets if cells[i].is_small and i not in self.guessed)
            self.guesser.look_around((i, cells[i].width) for i in small)

    def narrow(self) -> Iterator[int]:
        """Yield the targets that can be pinned too narrowly."""
        for i in self.targets():
            if self.find_binding(i) is not None and not self._is_told(i):
                yield i

    def guard(self) -> None:
        """Withhold more until no target is narrow and no revealed sum is small.

        Each round withholds one more cell, and withholding never narrows another target, so this ends.
        """
        self._cover_sums(range(len(self.system.relations)))
        pending = deque(self.targets())
        while pending:
            far = self._guard_near(pending)
            self._look_around(far)
            pending.extend(self._guard_far(far))

    def _guard_near(self, pending: deque[int]) -> list[int]:
        """Withhold near each target what it needs; return the targets that find nothing there."""
        far: dict[int, None] = {}
        while pending:
            target = pending.popleft()
            while (binding := self.find_binding(target, near=True)) is not None:
                candidates = [i for i in binding if self.system.may_withhold(i)]
                if not candidates:
                    far[target] = None
                    break
                pending.extend(self._withhold_best(candidates))
        return list(far)

    def _guard_far(self, targets: Iterable[int]) -> Iterator[int]:
        """Withhold what any target needs wherever it is; yield what was withheld."""
        for target in targets:
            while (binding := self.find_binding(target)) is not None:
                candidates = [i for i in binding if self.system.may_withhold(i)]
                if not candidates:
                    self._give_up(target)
                    break
                yield from self._withhold_best(candidates)

    def _withhold_best(self, candidates: Iterable[int]) -> list[int]:
        """Withhold the cheapest candidate and what its relations then call for; return all of them."""
        best = min(candidates, key=self._price)
        self.withhold([best])
        return [best, *self._cover_sums(self.system.relations_of[best])]

    def _price(self, i: int) -> tuple[bool, int, int]:
        """Return what it costs: public by decision last; a relation with no other unknown will need a second cell."""
        unknown = self.outsider.unknown
        relations = (self.system.relations[number] for number in self.system.relations_of[i])
        lonely = sum(total not in unknown and unknown.isdisjoint(parts) for total, parts in relations)
        return self.system.cells[i].minimum == 0, self.system.cells[i].weight * (1 + lonely), i

    def _cover_sums(self, numbers: Iterable[int]) -> list[int]:
        """Withhold more where published cells give a small sum of unknown parts away; return what was withheld."""
        added = []
        pending = deque(numbers)
        while pending:
            number = pending.popleft()
            if not self._gives_small_sum(number):
                continue
            total, parts = self.system.relations[number]
            candidates = [i for i in (*parts, total) if self._may_withhold(i)]
            if not candidates:
                continue
            best = min(candidates, key=self._price)
            self.withhold([best])
            added.append(best)
            pending.extend(self.system.relations_of[best])
        return added

    def _may_withhold(self, i: int) -> bool:
        return self.system.may_withhold(i) and i not in self.withheld

    def _gives_small_sum(self, number: int) -> bool:
        """Tell whether total minus published parts is a small number of persons."""
        total, parts = self.system.relations[number]
        if total in self.outsider.unknown:
            return False
        if self.system.cells[total].minimum == 0 and not any(self._may_withhold(i) for i in parts):
            return False  # the sum is the total itself, public by decision: no news, and the width rule counts
        unknown = [self.system.cells[i] for i in parts if i in self.outsider.unknown]
        return 0 < sum(cell.persons for cell in unknown) < max((cell.minimum for cell in unknown), default=0)

    def clean_up(self, hushed: Collection[int] = ()) -> None:
        """Publish again what turns out not to be needed, the dearest first, within bounds of work."""
        cells, limit = self.system.cells, self.outsider.solved + _CLEAN_UP_SOLVES
        spare = [i for i in self.withheld if not cells[i].is_small and i not in hushed]
        for i in sorted(spare, key=lambda i: (cells[i].minimum > 0, -cells[i].weight, i)):
            if self.outsider.solved < limit:
                self._publish_if_safe(i)

    def _publish_if_safe(self, i: int) -> None:
        numbers = self.system.relations_of[i]
        around = [[self.system.relations[number][0], *self.system.relations[number][1]] for number in numbers]
        if any(sum(j in self.outsider.unknown for j in cells) == 2 for cells in around):
            return  # its one companion there would be exact: no need to ask the solver
        del self.withheld[i]
        self.outsider.unknown.discard(i)
        small = any(self._gives_small_sum(number) for number in numbers)
        self.outsider.unknown.add(i)
        check = {j: self.system.cells[j].width for j in self.targets()}
        if small or not self._publish(i, check):
            self.withheld[i] = None

    def _publish(self, i: int, check: dict[int, int]) -> bool:
        """Publish a cell if both outsiders still learn nothing; else leave everything as it was."""
        if not self.outsider.publish(i, check):
            return False
        if self.guesser is self.outsider:
            return True
        guarded = {j: w for j, w in check.items() if self.system.cells[j].is_small and j not in self.guessed}
        if self.guesser.publish(i, guarded):
            return True
        self.outsider.withhold([i])
        return False

    def _hopeless(self, i: int) -> InputRefused:
        if self.system.links or self.system.loose:
            return InputRefused(
                "gate-history",
                "结合以前已公开的数字，有的小数字就能算出来，因此没有发布。请等下一期再发，或减少该表的维度。",
                "Together with what was published before, a small count could be worked out, so nothing is released. "
                "Wait for the next period, or drop a dimension of that table.",
                cell=list(self.system.key_of(i)),
            )
        return InputRefused(
            "gate-cannot-protect",
            "有的小数字从人人知道的数字就能算出来，保密审查无法保护，未发布任何数据。请减少该表的维度后重试。",
            "A small count follows from what everybody knows, so the gate cannot protect it; nothing was released. "
            "Drop a dimension of that table and try again.",
            cell=list(self.system.key_of(i)),
        )


def _tie(tie_key: bytes, key: Key) -> bytes:
    """Order keys as nobody without the node's key can."""
    return hmac.digest(tie_key, json.dumps(key, ensure_ascii=True).encode(), hashlib.sha256)


def _malformed(code: str, zh: str, en: str) -> InputRefused:
    return InputRefused(
        code,
        f"保密审查的输入不成立：{zh}。请运行 gonghui doctor，并把错误码告诉维护者。",
        f"The gate was given something that cannot be: {en}. Run gonghui doctor and report the code.",
    )

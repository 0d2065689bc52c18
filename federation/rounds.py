"""What is said in signed records of kind `sum`, and what follows from it: cohorts, rounds, and where each stands.

Every step of a round is one record in the stream that everybody reads, `staff/2025U/1.2/close` (family, period, vintage
and attempt, step): so it is signed, delivered once, witnessed, and two different words in one place are evidence. Of
what one says twice the first counts. Shares are sealed to the round's keys; the check's alpha and the partial sums to
the contributors. Aggregators are the hub and the one member in the group `aggregator`.

An attempt ends opened, spoiled or refused. Another one is made only where both aggregators gave up before either sent
its partial sum: from then on nobody can open two sums of one period. Pure: no database, no file.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from federation.cohort import Cohort, read_cohort
from federation.documents import dump_document, read_object, sha256_hex
from federation.errors import TrustError
from federation.sealing import Keyring, seal, unseal
from federation.secretsum import (
    CLOSED,
    COLLECTING,
    DESTROYED,
    EXCHANGED,
    OPENED,
    REFUSED,
    SPOILED,
    TESTED,
    Announcement,
    Closing,
    Contribution,
    Round,
)

KIND, SCHEMA = "sum", "sum.v1"
CONSENT, VOUCH, COHORT = "consent", "vouch", "cohort"  # of a family
ANNOUNCE, ALPHA, CONTRIBUTE, CLOSE, REVEAL, VALUES = "announce", "alpha", "contribute", "close", "reveal", "values"
PARTIAL, TOTAL, VERIFY, GIVE_UP, DESTROY = "partial", "total", "verify", "give-up", "destroy"
NONE = ""  # the state of an attempt that nobody has announced


@dataclass(frozen=True)
class Said:
    """One accepted record of kind `sum`; `attempt` is 0 for what is said of a family or a cohort."""

    record: str
    origin: str
    step: str
    period: str
    attempt: int
    body: Mapping[str, Any]

    @classmethod
    def of(cls, record: str, origin: str, content: Mapping[str, Any]) -> "Said":
        """Return what the content of a record, whose schema was checked, says."""
        return cls(record, origin, content["step"], content["period"], content["attempt"], content["body"])


def subject_of(family: str, step: str, period: str = "", attempt: int = 0, vintage: int = 1) -> str:
    """Return the subject under which a step is said."""
    return f"{family}/{period}/{vintage}.{attempt}/{step}" if period else f"{family}/{step}"


class Board:
    """All that was said of one family, as one reader holds it; `hub` and `second` by the member list."""

    def __init__(self, family: str, hub: str, second: str, said: Iterable[Said]) -> None:
        self.family = family
        self.aggregators = (hub, second)
        self.all = list(said)

    @cached_property
    def _first(self) -> dict[tuple[str, str, str, int], Said]:
        found: dict[tuple[str, str, str, int], Said] = {}
        for item in self.all:
            found.setdefault((item.origin, item.step, item.period, item.attempt), item)
        return found

    def get(self, origin: str, step: str, period: str, attempt: int = 0) -> Said | None:
        """Return the first that somebody said of a step."""
        return self._first.get((origin, step, period, attempt))

    def both(self, step: str, period: str, attempt: int = 0) -> tuple[Said, Said] | None:
        """Return what both aggregators said of a step, None unless both did."""
        hub, second = (self.get(origin, step, period, attempt) for origin in self.aggregators)
        return (hub, second) if hub and second else None

    def consenting(self) -> frozenset[str]:
        """Return the nodes whose last word is that they contribute."""
        last = {item.origin: item.body["on"] for item in self.all if item.step == CONSENT}
        return frozenset(node for node, on in last.items() if on) - set(self.aggregators)

    def vouched(self) -> frozenset[str]:
        """Return the nodes for which the second body vouches, by its last word."""
        last = [item for item in self.all if item.step == VOUCH and item.origin == self.aggregators[1]]
        return frozenset(last[-1].body["nodes"]) if last else frozenset()

    def cohort(self, period: str) -> Cohort | None:
        """Return the cohort that both aggregators signed; raise TrustError where it breaks its rules."""
        said = self.both(COHORT, period)
        if said is None or said[0].body != said[1].body:
            return None
        cohort = read_cohort(said[0].body)
        if cohort.aggregators != self.aggregators or cohort.family != self.family or cohort.year != period:
            raise TrustError("cohort-rules", "统计组名册与本联合体不符。", "The cohort is not of this federation.")
        return cohort

    def is_sound(self, period: str) -> bool:
        """Tell whether a period's cohort, if there is one, keeps its rules and is of today's aggregators."""
        try:
            self.cohort(period)
        except TrustError:
            return False
        return True

    def attempts(self, period: str) -> int:
        """Return the number of the last attempt that the hub announced."""
        hub = self.aggregators[0]
        return max((i.attempt for i in self.all if (i.origin, i.step, i.period) == (hub, ANNOUNCE, period)), default=0)

    def blocks(self, period: str, attempt: int) -> tuple[Mapping[str, str], ...]:
        """Return the blocks that take part in an attempt."""
        cohort, said = self.cohort(period), self.get(self.aggregators[0], ANNOUNCE, period, attempt)
        if cohort is None or said is None:
            return ()
        wanted = sorted(set(said.body["blocks"]))
        return tuple(cohort.blocks[number] for number in wanted if number < len(cohort.blocks))

    def contributors(self, period: str, attempt: int) -> list[str]:
        """Return the nodes of these blocks, in order."""
        return sorted(node for block in self.blocks(period, attempt) for node in block)

    def round(self, period: str, attempt: int) -> Round | None:
        """Return the round that both aggregators announced alike, None until then."""
        said, cohort = self.both(ANNOUNCE, period, attempt), self.cohort(period)
        if said is None or cohort is None:
            return None
        hub, second = (item.body for item in said)
        if any(hub[name] != second[name] for name in ("cohort", "layout", "cells", "blocks")):
            return None
        if hub["cohort"] != cohort.digest:
            return None
        bound = sha256_hex(dump_document({"cohort": cohort.digest, "blocks": sorted(set(hub["blocks"]))}))
        announced = [Announcement(i.origin, bytes.fromhex(i.body["key"]), i.body["nonce_sha256"]) for i in said]
        return Round(bound, period, 1, attempt, hub["layout"], hub["cells"], (announced[0], announced[1]))

    def drawer(self, round_: Round) -> str:
        """Return the contributor who draws the check's alpha in an attempt."""
        nodes = self.contributors(round_.period, round_.attempt)
        return min(nodes, key=lambda node: hashlib.sha256(f"{round_.digest}\n{node}".encode()).digest())

    def contributions(self, round_: Round) -> dict[str, tuple[Said, Contribution]]:
        """Return what was contributed to this round, by node."""
        found = {}
        for node in self.contributors(round_.period, round_.attempt):
            said = self.get(node, CONTRIBUTE, round_.period, round_.attempt)
            if said is not None and said.body["round"] == round_.digest:
                one, other = said.body["shares"]
                found[node] = said, Contribution(node, said.body["round"], (one, other))
        return found

    def closings(self, round_: Round) -> tuple[Closing, Closing] | None:
        """Return what both named and committed to when they closed."""
        said = self.both(CLOSE, round_.period, round_.attempt)
        if said is None:
            return None
        one, other = (Closing(i.origin, tuple(i.body["contributions"]), i.body["commitment"]) for i in said)
        return one, other

    def given_up(self, period: str, attempt: int) -> str:
        """Return why an aggregator gave an attempt up, "" while none has."""
        words = [self.get(origin, GIVE_UP, period, attempt) for origin in self.aggregators]
        return next((word.body["reason"] for word in words if word), "")

    def may_try_again(self, period: str) -> bool:
        """Tell whether all attempts so far ended before a partial sum was sent, by the word of both."""
        last = self.attempts(period)
        return all(self.both(GIVE_UP, period, n) and not self._any(PARTIAL, period, n) for n in range(1, last + 1))

    def _any(self, step: str, period: str, attempt: int) -> list[Said]:
        words = [self.get(origin, step, period, attempt) for origin in self.aggregators]
        return [word for word in words if word]

    def verdicts(self, period: str, attempt: int) -> dict[str, bool]:
        """Return which contributors found the sum to be the sum of what was sent, and which did not."""
        words = ((n, self.get(n, VERIFY, period, attempt)) for n in self.contributors(period, attempt))
        return {node: word.body["held"] for node, word in words if word}

    def total(self, period: str, attempt: int) -> Mapping[str, Any] | None:
        """Return what both published alike and a contributor of each block has verified, none objecting."""
        said = self.both(TOTAL, period, attempt)
        if said is None or said[0].body != said[1].body or self.given_up(period, attempt):
            return None
        verdicts = self.verdicts(period, attempt)
        held = all(verdicts.values()) and all(set(block) & set(verdicts) for block in self.blocks(period, attempt))
        return said[0].body if held else None

    def state(self, period: str, attempt: int) -> str:
        """Return where an attempt stands, one of `secretsum.ROUND_STATES`."""
        if self.both(DESTROY, period, attempt):
            return DESTROYED
        if self.given_up(period, attempt):
            return SPOILED if self._any(PARTIAL, period, attempt) else REFUSED
        if not all(self.verdicts(period, attempt).values()) or self._differ(period, attempt):
            return SPOILED
        if self.total(period, attempt):
            return OPENED
        steps = ((PARTIAL, EXCHANGED), (VALUES, TESTED), (CLOSE, CLOSED), (ANNOUNCE, COLLECTING))
        return next((state for step, state in steps if self.both(step, period, attempt)), NONE)

    def _differ(self, period: str, attempt: int) -> bool:
        said = self.both(TOTAL, period, attempt)
        return said is not None and said[0].body != said[1].body


def seal_for(round_: Round, origin: str, step: str, plain: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return what only the holders of these sealing keys (X25519, raw, base64) can read, bound to round and step."""
    header = {"sum": round_.digest, "origin": origin, "step": step, "epoch": 0}
    return read_object(seal(header, dump_document(plain), to=keys))


def open_sealed(round_: Round, said: Said, keyring: Keyring) -> dict[str, Any]:
    """Return what `seal_for` sealed; raise TrustError where it was sealed for another round, origin or step."""
    sealed = said.body["sealed"]
    if (sealed["sum"], sealed["origin"], sealed["step"]) != (round_.digest, said.origin, said.step):
        raise TrustError("share-other-round", "密封内容属于另一轮。", "What was sealed belongs to another round.")
    return read_object(unseal(sealed, keyring))

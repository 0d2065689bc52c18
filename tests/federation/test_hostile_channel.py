"""Two logs, three readers, a hostile channel: whatever is lost, repeated, bent, reordered or forked.

Readers take documents in with the acceptance, the statements, the contradictions and the witness rule of the product;
here are only their memory and the channel. After every step:

    prefix      what a reader holds of an origin is the beginning of one of that origin's branches, each record once
    no slander  nobody has a proof against an origin that did not fork
    one branch  everything that a witness cosigned lies on one branch of a log
    noticed     two readers whose statements have met, and who hold different records in one place, both have the proof

and whatever happened before, an honest origin that is asked gives everything that it ever signed. Three controls break
one of these on purpose and must be found. GONGHUI_SOAK=1 runs the long form.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from federation.acceptance import ALL, Held, Outcome, Record, Verdict, accept_outer
from federation.acceptance import Reader as Audience
from federation.envelope import HEADS_TYPE, read_envelope
from federation.equivocation import check_contradiction
from federation.errors import TrustError
from federation.keys import Member
from federation.log import prove_consistency, root_of
from federation.statements import Head, open_checkpoint, open_heads
from federation.witness import NOTHING_HELD, check_next
from tests.federation.test_evidence import FEDERATION, Party, id_of, knows

LONG = bool(os.environ.get("GONGHUI_SOAK"))
FORM = settings(
    max_examples=1_000 if LONG else 30,
    stateful_step_count=60 if LONG else 30,
    deadline=None,
    database=None,
    derandomize=not LONG,
    report_multiple_bugs=False,  # the first is enough
    suppress_health_check=list(HealthCheck),
)
ORIGINS, READERS, BRANCHES = range(2), range(3), range(2)
ORIGIN, READER, BRANCH = st.sampled_from(ORIGINS), st.sampled_from(READERS), st.sampled_from(BRANCHES)
CAST = [Party() for _ in range(5)]  # keys are dear: two origins, three readers
FIND = knows(*CAST)


@lru_cache(maxsize=1_000)
def proven_against(first: bytes, second: bytes) -> str:
    """Return of whom the two documents are a proof, worked out once: it is asked after every step."""
    return check_contradiction(first, second, FIND).origin


class Branch(Party):
    """One story that an origin tells: a stream of records, and the log that goes with it."""

    def __init__(self, of: Party, records: Iterable[bytes] = ()) -> None:
        super().__init__()
        self.id, self.signer = of.id, of.signer
        self.records: list[bytes] = []
        for record in records:
            self._add(record)

    def _add(self, record: bytes) -> None:
        self.records.append(record)
        self.append(id_of(record))

    def sign_next(self, subject: str) -> bytes:
        previous = id_of(self.records[-1]) if self.records else ""
        record = self.record(len(self.records) + 1, previous, subject=subject)
        self._add(record)
        return record


class Reader:
    """What one honest reader holds and knows; `federation.acceptance.Memory` for its outer steps."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.held: dict[str, list[Record]] = {}
        self.said: dict[str, list[bytes]] = {}  # an origin's own statements
        self.proofs: dict[str, tuple[bytes, bytes]] = {}
        self.cosigned: dict[str, list[tuple[int, bytes]]] = {}

    # --- what acceptance asks
    def find_member(self, keyid: str) -> Member | None:
        return FIND(keyid)

    def find_record(self, record_id: str) -> Held | None:
        found = [record for records in self.held.values() for record in records if record.id == record_id]
        return Held(record_id, found[0].sequence) if found else None

    def find_at(self, origin: str, stream: str, sequence: int) -> Held | None:
        records = self.held.get(origin, []) if stream == ALL else []
        return Held(records[sequence - 1].id, sequence) if 0 < sequence <= len(records) else None

    def find_head(self, origin: str, stream: str) -> Held | None:
        return self.find_at(origin, stream, len(self.held.get(origin, [])))

    def __getattr__(self, name: str) -> Any:  # the inner steps are not taken here
        raise AttributeError(name)

    # --- what comes in
    def take(self, data: bytes) -> str:
        """Take one document from anywhere; return "" or the code why not."""
        try:
            if read_envelope(data).payload_type == HEADS_TYPE:
                return self._take_heads(data)
        except TrustError as error:
            return error.code
        outcome: Outcome = accept_outer(data, self, Audience(self.party.id, FEDERATION, is_hub=False))
        record = outcome.record
        if outcome.verdict == Verdict.PLACED and record is not None:
            self.held.setdefault(record.origin, []).append(record)
            for stated in self.said.get(record.origin, []):
                self._confront(record.origin, record.envelope, stated)
        if outcome.conflicts_with and record is not None:
            first = next(one for one in self.held[record.origin] if one.id == outcome.conflicts_with)
            self._confront(record.origin, first.envelope, data)
        return outcome.code

    def _take_heads(self, data: bytes) -> str:
        stated = open_heads(data, FIND)
        if any(head.origin == stated.issuer for head in stated.heads):
            for record in self.held.get(stated.issuer, []):
                self._confront(stated.issuer, record.envelope, data)
            for before in self.said.get(stated.issuer, []):
                self._confront(stated.issuer, before, data)
            self.said.setdefault(stated.issuer, []).append(data)
        return ""

    def _confront(self, origin: str, first: bytes, second: bytes) -> None:
        with suppress(TrustError):  # `no-contradiction`
            check_contradiction(first, second, FIND)
            self.proofs.setdefault(origin, (first, second))

    # --- what goes out
    def state(self) -> bytes | None:
        heads = [Head(origin, len(records), records[-1].id) for origin, records in sorted(self.held.items())]
        return self.party.heads(*heads) if heads else None

    def compare(self, stated: bytes, other: "Reader") -> None:
        """Ask the reader who stated this for the records in which it differs, back to where the branches part."""
        for head in open_heads(stated, FIND).heads:
            mine = self.held.get(head.origin, [])
            if head.sequence <= len(mine) and mine[head.sequence - 1].id == head.id:
                continue
            for record in list(other.held[head.origin]):
                self.take(record.envelope)

    def cosign(self, branch: Branch) -> str:
        """Answer as a witness; return "" or the code of the refusal."""
        offered = open_checkpoint(branch.checkpoint(), FIND)
        before = self.cosigned.setdefault(branch.id, [])
        size, root = before[-1] if before else NOTHING_HELD
        path = prove_consistency(branch.nodes, size, offered.size) if size <= offered.size else []
        try:
            check_next((size, root), offered, size, path)
        except TrustError as error:
            return error.code
        before.append((offered.size, offered.root))
        return ""


class Channel(RuleBasedStateMachine):
    """The world: `wire` holds what is on the way, as (reader, document), for as long as the channel likes."""

    def __init__(self) -> None:
        super().__init__()
        self.stories = [[Branch(CAST[n])] for n in ORIGINS]
        self.readers = [self.reader(CAST[2 + n]) for n in READERS]
        self.wire: list[tuple[int, bytes]] = []
        self.count = 0

    reader: type[Reader] = Reader

    def _story(self, origin: int, branch: int) -> Branch:
        return self.stories[origin][min(branch, len(self.stories[origin]) - 1)]

    # --- what origins do
    @rule(origin=ORIGIN, branch=BRANCH, to=READER, later=st.sets(READER))
    def sign(self, origin: int, branch: int, to: int, later: set[int]) -> None:
        """Sign a record: one reader has it at once, to others it is on the way."""
        self.count += 1
        record = self._story(origin, branch).sign_next(f"s{self.count}")
        self.readers[to].take(record)
        self.wire += [(reader, record) for reader in sorted(later)]

    @precondition(lambda self: any(len(one) == 1 and one[0].records for one in self.stories))
    @rule(origin=ORIGIN, kept=st.integers(0, 3), to=READER)
    def fork(self, origin: int, kept: int, to: int) -> None:
        """Begin another story: its first record is not the one that stands there."""
        if len(self.stories[origin]) == 2 or not self.stories[origin][0].records:
            origin = 1 - origin
        stories = self.stories[origin]
        if len(stories) == 1 and stories[0].records:
            stories.append(Branch(CAST[origin], stories[0].records[: min(kept, len(stories[0].records) - 1)]))
            self.sign(origin, 1, to, set())

    @rule(origin=ORIGIN, branch=BRANCH, to=READER)
    def state_own_head(self, origin: int, branch: int, to: int) -> None:
        story = self._story(origin, branch)
        if story.records:
            head = Head(story.id, len(story.records), id_of(story.records[-1]))
            self.wire.append((to, story.heads(head)))

    # --- what the channel does
    @precondition(lambda self: self.wire)
    @rule(at=st.integers(0, 1_000), keep=st.booleans(), bent=st.integers(0, 2_000))
    def deliver(self, *, at: int, keep: bool, bent: int) -> None:
        """Deliver anything to its reader, in any order, as often as it likes, or not at all; some of it bent."""
        at %= len(self.wire)
        to, data = self.wire[at] if keep else self.wire.pop(at)
        if bent < len(data):
            before = sum(map(len, self.readers[to].held.values()))
            assert self.readers[to].take(data[:bent] + bytes([data[bent] ^ 1]) + data[bent + 1 :]) != ""
            assert sum(map(len, self.readers[to].held.values())) == before
        else:
            self.readers[to].take(data)

    # --- what readers do
    @rule(reader=READER, origin=ORIGIN, branch=BRANCH)
    def pull(self, reader: int, origin: int, branch: int) -> None:
        """Ask an origin directly; one that forked tells which story it likes."""
        story = self._story(origin, branch)
        for record in story.records:
            self.readers[reader].take(record)
        if len(self.stories[origin]) == 1:  # nothing that happened before can keep a record away
            assert [one.envelope for one in self.readers[reader].held.get(story.id, [])] == story.records

    @rule(one=READER, further=st.sampled_from((1, 2)))
    def meet(self, one: int, further: int) -> None:
        """Let two readers' statements meet on a path that nobody else controls; then no fork is unnoticed."""
        other = (one + further) % len(READERS)
        first, second = self.readers[one], self.readers[other]
        for asking, stating in ((first, second), (second, first)):
            stated = stating.state()
            if stated is not None:
                asking.take(stated)
                self.compare(asking, stated, stating)
            for proof in list(stating.proofs.values()):  # both halves are shown to whoever reads the stream
                for half in proof:
                    asking.take(half)
        for origin in first.held.keys() & second.held.keys():
            pairs = zip(first.held[origin], second.held[origin], strict=False)
            if any(mine.id != theirs.id for mine, theirs in pairs):
                assert origin in first.proofs, "a fork that the first reader has not noticed"
                assert origin in second.proofs, "a fork that the second reader has not noticed"

    def compare(self, asking: Reader, stated: bytes, stating: Reader) -> None:
        asking.compare(stated, stating)

    @rule(witness=READER, origin=ORIGIN, last_first=st.booleans())
    def ask_witness(self, *, witness: int, origin: int, last_first: bool) -> None:
        """Show a witness the log of each story."""
        stories = self.stories[origin]
        for story in stories[::-1] if last_first else stories:
            code = self.readers[witness].cosign(story)
            assert not (code and len(stories) == 1), "the log of an honest node is always cosigned"

    # --- what holds after every step
    @invariant()
    def prefix_of_one_branch_and_each_once(self) -> None:
        for reader in self.readers:
            for n in ORIGINS:
                held = [record.envelope for record in reader.held.get(CAST[n].id, [])]
                assert any(story.records[: len(held)] == held for story in self.stories[n])
                assert len(set(held)) == len(held)

    @invariant()
    def nobody_is_slandered(self) -> None:
        for reader in self.readers:
            for n in ORIGINS:
                if CAST[n].id in reader.proofs:
                    assert len(self.stories[n]) == 2
                    assert proven_against(*reader.proofs[CAST[n].id]) == CAST[n].id

    @invariant()
    def a_witness_is_on_one_branch(self) -> None:
        for reader in self.readers:
            for n in ORIGINS:
                cosigned = reader.cosigned.get(CAST[n].id, [])
                assert any(
                    all(size <= story.size and root_of(story.nodes, size) == root for size, root in cosigned)
                    for story in self.stories[n]
                )


def test_no_fork_is_unnoticed_once_honest_statements_have_met() -> None:
    run_state_machine_as_test(Channel, settings=FORM)


class NobodyCompares(Channel):
    """Control: statements meet and nobody looks where they differ."""

    def compare(self, asking: Reader, stated: bytes, stating: Reader) -> None:
        pass


class Gullible(Reader):
    """Control: a witness that cosigns whatever it is shown."""

    def cosign(self, branch: Branch) -> str:
        self.cosigned.setdefault(branch.id, []).append((branch.size, root_of(branch.nodes, branch.size)))
        return ""


class GullibleWitnesses(Channel):
    reader = Gullible


class Careless(Reader):
    """Control: a reader that keeps what it is given, without looking at its place."""

    def find_head(self, *_: object, **__: object) -> Held | None:
        return None

    def find_at(self, *_: object, **__: object) -> Held | None:
        return None


class CarelessReaders(Channel):
    reader = Careless


@pytest.mark.parametrize("broken", [NobodyCompares, GullibleWitnesses, CarelessReaders])
def test_what_is_broken_on_purpose_is_found(broken: type[Channel]) -> None:
    search = settings(FORM, max_examples=2_000, derandomize=True, phases=[Phase.generate])
    with pytest.raises(AssertionError):
        run_state_machine_as_test(broken, settings=search)

"""Carry rounds forward: each call says whatever is this node's turn to say, as aggregator or contributor, and no more.

Everything is worked out anew from the records, so a crash between two steps costs nothing. A node that finds something
wrong never goes on: an aggregator gives up with a reason, a contributor does not contribute, or objects.
"""

import base64
import hashlib
import logging
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlmodel import Session, select

from federation.catalogue import load_catalogue
from federation.cohort import Cohort, cut_blocks, read_cohort
from federation.errors import Conflict, NotPermitted, TrustError
from federation.family import (
    Layout,
    Totals,
    check_told,
    find_family,
    lay_out,
    load_families,
    table_of,
)
from federation.keys import sealing_public
from federation.periods import read_period
from federation.publications import PUBLISHED, Publication
from federation.rounds import (
    ALPHA,
    ANNOUNCE,
    CLOSE,
    COHORT,
    CONSENT,
    CONTRIBUTE,
    DESTROY,
    GIVE_UP,
    PARTIAL,
    REVEAL,
    TOTAL,
    VALUES,
    VERIFY,
    VOUCH,
    Board,
    open_sealed,
    seal_for,
)
from federation.sealing import Keyring, key_id
from federation.secretsum import (
    DESTROYED,
    OPENED,
    REFUSED,
    SPOILED,
    Closing,
    Round,
    check_partial,
    check_same,
    commit_partial,
    contribute,
    open_share,
    open_total,
    passes,
    toss_coins,
    zero_test,
)
from federation.sharing import P, Vector, add_all, dot, powers, to_bytes
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.indicators.past import load_past
from node.stream.memberlist import list_version
from node.stream.models import Peer
from node.stream.service import get_home
from node.totals import vault
from node.totals.board import find_second, load_board, say
from node.totals.released import Released, choose_layout, choose_published, load_released

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Standing:
    """Where the last attempt of a period stands; `published` only where it is opened and verified."""

    family: str
    period: str
    attempt: int
    state: str
    reason: str
    contributors: tuple[str, ...]
    awaited: tuple[str, ...]  # contributors whose share is not there yet
    published: Mapping[tuple[str, str], int]
    withheld: tuple[tuple[str, str], ...]
    destroyed: bool = False  # the round's keys, by the signed word of both aggregators

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            **vars(self),
            "published": [{"indicator": c, "dims": d, "value": v} for (c, d), v in self.published.items()],
            "withheld": [{"indicator": code, "dims": dims} for code, dims in self.withheld],
        }


def consent(node: Node, actor: Actor, family: str, *, on: bool) -> None:
    """Say that this node contributes to a family's totals from now on, or no more; raise NotPermitted."""
    check_permission(actor, "total.consent")
    find_family(family)
    with node.database.write() as session:
        home = get_home(session, node)
        if node.node_id in {home.hub_id, find_second(session, node)}:
            raise Conflict("aggregator-contributes", "汇总方不能参加合计。", "An aggregator cannot contribute.")
        say(session, node, family, CONSENT, {"on": on})
        _audit(session, node, actor, "total.consent", family, code="on" if on else "off")


def vouch(node: Node, actor: Actor, family: str, nodes: Iterable[str]) -> None:
    """Say, as the second body, which nodes its own register knows to be what they claim; raise NotPermitted."""
    check_permission(actor, "total.vouch")
    with node.database.write() as session:
        if find_second(session, node) != node.node_id:
            raise NotPermitted("not-second-body", "本节点不是第二汇总方。", "This node is not the second body.")
        say(session, node, family, VOUCH, {"nodes": sorted(set(nodes))})
        _audit(session, node, actor, "total.vouch", family)


def begin(node: Node, actor: Actor, family: str, period: str, *, leave_out: Iterable[str] = ()) -> int:
    """Announce, as the hub, an attempt at a period's totals; return its number.

    The first one cuts the cohort. Blocks with a node of `leave_out`, or with one that has not released, are not in it.
    Raises Conflict where the attempt before is not over, or no block is left.
    """
    check_permission(actor, "total.begin")
    with node.database.write() as session:
        home, board = get_home(session, node), load_board(session, node, family)
        if home.hub_id != node.node_id:
            raise NotPermitted("not-hub", "只有汇总节点能发起合计。", "Only the hub begins a total.")
        lay_out(load_catalogue(), find_family(family), read_period(period))
        if board.get(node.node_id, COHORT, period) is None:
            say(session, node, family, COHORT, _new_cohort(session, node, board, period).as_content(), period=period)
        if not board.may_try_again(period):
            raise Conflict(
                "attempt-open",
                "上一次合计尚未由双方放弃，或部分和已发出；同一期不得再开。",
                "The attempt before was not given up by both, or a partial sum was sent: a period is opened once.",
            )
        attempt = board.attempts(period) + 1
        _audit(session, node, actor, "total.begin", family)
    with node.database.write() as session:
        _announce_first(session, node, family, period, attempt, set(leave_out))
    return attempt


def give_up(node: Node, actor: Actor, family: str, period: str) -> None:
    """Give the last attempt up, as an aggregator whose contributors do not come; raise Conflict where it is over."""
    check_permission(actor, "total.begin")
    with node.database.write() as session:
        board = load_board(session, node, family)
        attempt = board.attempts(period)
        if node.node_id not in board.aggregators or not attempt or board.total(period, attempt):
            raise Conflict("attempt-over", "没有可放弃的合计。", "There is no attempt to give up.")
        say(session, node, family, GIVE_UP, {"reason": "by-hand"}, period=period, attempt=attempt)
        _audit(session, node, actor, "total.give-up", family)


def advance(node: Node) -> list[str]:
    """Say all that is this node's turn in every family of its federation; return the steps that were said.

    Costs one query where nobody has ever announced a total.
    """
    said: list[str] = []
    for family in load_families():
        while True:
            with node.database.write() as session:
                steps = _advance_once(session, node, family)
            if not steps:
                break
            said += steps
    return said


def contributes(node: Node, family: str) -> bool:
    """Tell whether this node's last word is that it contributes; raise InputRefused or Conflict."""
    with node.database.read() as session:
        return node.node_id in load_board(session, node, family).consenting()


def look(node: Node, actor: Actor, family: str, period: str) -> Standing:
    """Return where a period's total stands, for somebody who may read figures; raise NotPermitted, Conflict."""
    check_permission(actor, "indicator.read")
    lay_out(load_catalogue(), find_family(family), read_period(period))
    with node.database.read() as session:
        return standing(session, node, family, period)


def standing(session: Session, node: Node, family: str, period: str) -> Standing:
    """Return where a period's total stands; raise InputRefused or Conflict."""
    board = load_board(session, node, family)
    attempt = board.attempts(period)
    total = board.total(period, attempt) if attempt else None
    round_ = board.round(period, attempt) if attempt else None
    nodes = board.contributors(period, attempt) if attempt else []
    here = board.contributions(round_) if round_ else {}
    told = total or {"published": [], "withheld": []}
    return Standing(
        family,
        period,
        attempt,
        OPENED if total else board.state(period, attempt) if attempt else "",
        board.given_up(period, attempt) if attempt else "",
        tuple(nodes),
        tuple(sorted(set(nodes) - set(here))),
        {(cell["indicator"], cell["dims"]): int(cell["value"]) for cell in told["published"]},
        tuple((code, dims) for code, dims in told["withheld"]),
        bool(attempt and board.both(DESTROY, period, attempt)),
    )


def _advance_once(session: Session, node: Node, family: str) -> list[str]:
    try:
        board = load_board(session, node, family)
    except Conflict:  # no second body, no totals
        return []
    periods = sorted({item.period for item in board.all if item.period})
    said: list[str] = []
    for period in periods:
        turn = Turn(session, node, board, period)
        try:
            said += turn.aggregate() if node.node_id in board.aggregators else turn.contribute()
        except TrustError as error:  # what somebody said is wrong: this node says nothing in that round
            _LOG.warning("total %s/%s: %s", family, period, error.code)
    return said


class Turn:
    """One node's turn in the last attempt of a period."""

    def __init__(self, session: Session, node: Node, board: Board, period: str) -> None:
        self.session, self.node, self.board, self.period = session, node, board, period
        self.attempt = board.attempts(period)
        self.said: list[str] = []

    # what both roles need

    def _say(self, step: str, body: Mapping[str, Any], attempt: int | None = None) -> list[str]:
        number = self.attempt if attempt is None else attempt
        say(self.session, self.node, self.board.family, step, body, period=self.period, attempt=number)
        return [step]

    def _own(self, step: str, attempt: int | None = None) -> bool:
        number = self.attempt if attempt is None else attempt
        return self.board.get(self.node.node_id, step, self.period, number) is not None

    @cached_property
    def round(self) -> Round | None:
        """Return the round as both announced it."""
        return self.board.round(self.period, self.attempt)

    @cached_property
    def released(self) -> Released:
        """Return what the contributors have released of the period."""
        return load_released(self.session, self.node, self.period, self.board.contributors(self.period, self.attempt))

    @cached_property
    def layout(self) -> Layout:
        """Return the cells that may be opened, as this node works them out; raise Conflict."""
        nodes = self.board.contributors(self.period, self.attempt)
        return choose_layout(self.board.family, self.period, self.released, nodes)

    @cached_property
    def keyring(self) -> Keyring:
        """Return this node's own keys."""
        return Keyring({key_id(sealing_public(key)): key for key in self.node.sealing_keys})

    def _sealing_keys(self, nodes: Iterable[str]) -> list[str]:
        home = get_home(self.session, self.node)
        keys = [self.node.sealing_key if n == self.node.node_id else _peer(self.session, home.id, n) for n in nodes]
        return [key for key in keys if key]

    # the aggregators

    def aggregate(self) -> list[str]:
        """Say what is an aggregator's turn."""
        try:
            return self._cohort() or self._announce() or self._over() or self._step()
        except TrustError as error:
            return self._give_up(error.code)

    def _give_up(self, reason: str) -> list[str]:
        if not self.attempt or self._own(GIVE_UP):
            return []
        return self._say(GIVE_UP, {"reason": reason})

    def _cohort(self) -> list[str]:
        """Countersign, as the second body, the cohort that the hub has cut: by its own register."""
        hub, second = self.board.aggregators
        proposed = self.board.get(hub, COHORT, self.period)
        if self.node.node_id != second or proposed is None or self._own(COHORT, 0):
            return []
        listed = [entry for block in proposed.body["blocks"] for entry in block]
        if any(entry["vouched"] != (entry["node"] in self.board.vouched()) for entry in listed):
            return []  # it waits: the register says otherwise, and a person has to look
        return self._say(COHORT, proposed.body, 0)

    def _announce(self) -> list[str]:
        hub, second = self.board.aggregators
        first = self.board.get(hub, ANNOUNCE, self.period, self.attempt)
        if self.node.node_id != second or first is None or self._own(ANNOUNCE) or self._own(GIVE_UP):
            return []
        if self.board.cohort(self.period) is None:
            return []
        if any(not self.board.both(GIVE_UP, self.period, n) for n in range(1, self.attempt)):
            return []
        try:
            same = self.layout.digest == first.body["layout"]
        except Conflict:
            return []  # a release is still on its way
        if not same:
            return self._give_up("layout-differs")
        held = vault.make(self.node, self.board.family, self._name())
        return self._say(ANNOUNCE, _announcement(held, first.body))

    def _name(self) -> str:
        home = get_home(self.session, self.node)
        return f"{home.id}-{self.period}-{self.attempt}"

    def _over(self) -> list[str]:
        """Follow the other one in giving up, and destroy the keys of what has ended."""
        if not self.attempt:
            return []
        state = self.board.state(self.period, self.attempt)
        if state in {REFUSED, SPOILED} and self.board.given_up(self.period, self.attempt) and not self._own(GIVE_UP):
            return self._say(GIVE_UP, {"reason": self.board.given_up(self.period, self.attempt)})
        if state == SPOILED and not self._own(GIVE_UP):
            return self._say(GIVE_UP, {"reason": "sum-spoiled"})
        if state in {OPENED, REFUSED, SPOILED, DESTROYED} and not self._own(DESTROY) and self.round:
            vault.destroy(self.node, self.board.family, self._name())
            return self._say(DESTROY, {"round": self.round.digest})
        return []

    def _step(self) -> list[str]:
        round_ = self.round
        if round_ is None or self._own(GIVE_UP) or self._own(DESTROY):
            return []
        held = vault.find(self.node, self.board.family, self._name())
        if held is None or self._announced_key(round_) != held.private.public_key().public_bytes_raw():
            return self._give_up("round-key-lost")
        sent = self.board.contributions(round_)
        if set(sent) != set(self.board.contributors(self.period, self.attempt)):
            return []
        steps: tuple[tuple[str, Callable[[Round, vault.Held], dict[str, Any] | None]], ...] = (
            (CLOSE, self._close),
            (REVEAL, self._reveal),
            (VALUES, self._values),
            (PARTIAL, self._partial),
            (TOTAL, self._total),
        )
        for step, made in steps:
            if not self._own(step):
                body = made(round_, held)
                return [] if body is None else self._say(step, {"round": round_.digest, **body})
        return []

    def _announced_key(self, round_: Round) -> bytes:
        return round_.announced[round_.place_of(self.node.node_id)].key

    def _shares(self, round_: Round, held: vault.Held) -> dict[str, Vector]:
        place = round_.place_of(self.node.node_id)
        return {
            node: open_share(
                round_, sent, self.node.node_id, base64.b64decode(said.body["sealed"][place]), held.private
            )
            for node, (said, sent) in self.board.contributions(round_).items()
        }

    def _close(self, round_: Round, held: vault.Held) -> dict[str, Any]:
        ids = [said.record for said, _ in self.board.contributions(round_).values()]
        partial = add_all(self._shares(round_, held).values(), round_.cells + 1)
        closing = commit_partial(round_, self.node.node_id, ids, partial, bytes.fromhex(held.salt))
        return {"contributions": list(closing.contributions), "commitment": closing.commitment}

    def _named(self, round_: Round) -> tuple[str, ...] | None:
        closings = self.board.closings(round_)
        return check_same(*closings) if closings else None

    def _reveal(self, round_: Round, held: vault.Held) -> dict[str, Any] | None:
        return None if self._named(round_) is None else {"nonce": held.nonce}

    def _coins(self, round_: Round) -> bytes | None:
        named, said = self._named(round_), self.board.both(REVEAL, self.period, self.attempt)
        if named is None or said is None:
            return None
        return toss_coins(round_, named, [bytes.fromhex(item.body["nonce"]) for item in said])

    def _test(self, round_: Round, coins: bytes, node: str) -> tuple[Any, int]:
        """Return the weights of one contribution's test and what its table has to give."""
        publication = self.released.by_node[node]
        statuses = publication.statuses or {}
        told = {
            place: publication.counts[name]
            for place, name in enumerate(self.layout.cells)
            if statuses.get(name) == PUBLISHED
        }
        return zero_test(round_, coins, node, self.layout.relations, told)

    def _values(self, round_: Round, held: vault.Held) -> dict[str, Any] | None:
        coins = self._coins(round_)
        if coins is None:
            return None
        self._check_layout(round_)
        shares = self._shares(round_, held)
        return {"values": {n: str(dot(share, self._test(round_, coins, n)[0])) for n, share in shares.items()}}

    def _check_layout(self, round_: Round) -> None:
        if self.layout.digest != round_.layout:
            raise TrustError(
                "layout-differs", "发布已更正，版式不同。", "A release was corrected since: another layout."
            )

    def _partial(self, round_: Round, held: vault.Held) -> dict[str, Any] | None:
        said, coins = self.board.both(VALUES, self.period, self.attempt), self._coins(round_)
        if said is None or coins is None:
            return None
        for node in self.board.contributions(round_):
            target = self._test(round_, coins, node)[1]
            if not passes([int(item.body["values"].get(node, 0)) for item in said], target):
                raise TrustError(
                    "contribution-contradicts",
                    "有节点的份额与其已发布的数字矛盾。",
                    "A contribution contradicts what its node has published.",
                )
        partial = add_all(self._shares(round_, held).values(), round_.cells + 1)
        plain = {"partial": base64.b64encode(to_bytes(partial)).decode(), "salt": held.salt}
        others = [*self.board.contributors(self.period, self.attempt), *self.board.aggregators]
        return {"sealed": seal_for(round_, self.node.node_id, PARTIAL, plain, self._sealing_keys(others))}

    def partials(self, round_: Round) -> list[Vector] | None:
        """Return both partial sums, each checked against its commitment; raise TrustError."""
        said, closings = self.board.both(PARTIAL, self.period, self.attempt), self.board.closings(round_)
        if said is None or closings is None:
            return None
        check_same(*closings)
        return [self._opened(round_, item, closing) for item, closing in zip(said, closings, strict=True)]

    def _opened(self, round_: Round, item: Any, closing: Closing) -> Vector:
        plain = open_sealed(round_, item, self.keyring)
        return check_partial(round_, closing, base64.b64decode(plain["partial"]), bytes.fromhex(plain["salt"]))

    def _total(self, round_: Round, held: vault.Held) -> dict[str, Any] | None:  # noqa: ARG002  as the others
        partials = self.partials(round_)
        if partials is None:
            return None
        self._check_layout(round_)
        summed = add_all(partials, round_.cells + 1)
        told = choose_published(self.layout, tuple(int(cell) for cell in summed[:-1]), self.released)
        return _told(told, len(self.released.by_node))

    # the contributors

    def contribute(self) -> list[str]:
        """Say what is a contributor's turn; nothing where something is not as it should be."""
        round_ = self.round
        if round_ is None or not self._is_mine():
            return []
        try:
            return self._alpha(round_) or self._send(round_) or self._verify(round_)
        except Conflict:
            return []  # a release, or this node's own figures, are not there yet

    def _is_mine(self) -> bool:
        """Tell whether the cohort names this node under its own key, and nothing of the period can be opened twice."""
        cohort = self.board.cohort(self.period)
        blocks = self.board.blocks(self.period, self.attempt)
        mine = next((block for block in blocks if self.node.node_id in block), None)
        earlier = range(1, self.attempt)
        return (
            cohort is not None
            and mine is not None
            and mine[self.node.node_id] == self.node.signer.public_key.keyid
            and self.node.node_id in self.board.consenting()
            and all(self.board.both(GIVE_UP, self.period, n) for n in earlier)
            and not any(self.board.get(a, PARTIAL, self.period, n) for a in self.board.aggregators for n in earlier)
        )

    def _alpha(self, round_: Round) -> list[str]:
        if self.board.drawer(round_) != self.node.node_id or self._own(ALPHA) or self._own(CONTRIBUTE):
            return []
        if self.layout.digest != round_.layout:
            return []
        keys = self._sealing_keys(self.board.contributors(self.period, self.attempt))
        plain = {"alpha": str(secrets.randbelow(P - 2) + 2)}
        sealed = seal_for(round_, self.node.node_id, ALPHA, plain, keys)
        return self._say(ALPHA, {"round": round_.digest, "sealed": sealed})

    def _alphas(self, round_: Round) -> Any:
        said = self.board.get(self.board.drawer(round_), ALPHA, self.period, self.attempt)
        if said is None or said.body["round"] != round_.digest:
            return None
        return powers(int(open_sealed(round_, said, self.keyring)["alpha"]) % P, round_.cells)

    def _send(self, round_: Round) -> list[str]:
        if self._own(CONTRIBUTE) or self.board.given_up(self.period, self.attempt):
            return []
        alphas = self._alphas(round_)
        if alphas is None or self.layout.digest != round_.layout or len(self.layout.cells) != round_.cells:
            return []
        table = table_of(self.layout, self._counts())
        contribution, blobs = contribute(
            round_, self.node.node_id, table, alphas, node_secret=self.node.derived_key("totals")
        )
        sealed = [base64.b64encode(blob).decode() for blob in blobs]
        body = {"round": round_.digest, "shares": list(contribution.shares), "sealed": sealed}
        return self._say(CONTRIBUTE, body)

    def _counts(self) -> Mapping[tuple[str, str], int]:
        """Return this node's counts of the period, those with which its release was made."""
        past = load_past(self.session, self.node, load_catalogue(), self.node.clock())
        mine = [item for item in past.publications if item.period.label == self.period]
        if not mine:
            raise Conflict("family-not-released", "本节点尚未发布该期。", "This node has not released the period.")
        return mine[-1].counts

    def _verify(self, round_: Round) -> list[str]:
        """Say whether the sum is the sum of what was sent, and what was published follows from it."""
        said = self.board.both(TOTAL, self.period, self.attempt)
        if said is None or self._own(VERIFY) or not self._own(CONTRIBUTE):
            return []
        return self._say(VERIFY, {"round": round_.digest, "held": self._holds(round_, said[0].body)})

    def _holds(self, round_: Round, body: Mapping[str, Any]) -> bool:
        try:
            partials = self.partials(round_)
            mine = self.board.get(self.node.node_id, CONTRIBUTE, self.period, self.attempt)
            named = self._named(round_)
            if partials is None or mine is None or named is None or mine.record not in named:
                return False
            cells = open_total(partials, self._alphas(round_), len(named))
            told = choose_published(self.layout, tuple(cells), self.released)
        except TrustError:
            return False
        return {**_told(told, len(self.released.by_node)), "round": round_.digest} == dict(body)


def _new_cohort(session: Session, node: Node, board: Board, period: str) -> Cohort:
    home = get_home(session, node)
    listed = {peer.id: peer.keyid for peer in _peers(session, home.id)}
    keys = {one: listed[one] for one in sorted(board.consenting()) if one in listed}
    blocks = cut_blocks(keys, board.vouched(), federation=home.id, family=board.family, year=period)
    inside = frozenset(one for block in blocks for one in block)
    version = list_version(session, home.id)
    return Cohort(home.id, board.family, period, version, board.aggregators, blocks, board.vouched() & inside)


def _announce_first(session: Session, node: Node, family: str, period: str, attempt: int, leave_out: set[str]) -> None:
    """Announce as the hub: over the blocks in which everybody has released."""
    board, home = load_board(session, node, family), get_home(session, node)
    said = board.get(node.node_id, COHORT, period)
    if said is None:
        raise Conflict("cohort-missing", "统计组尚未组成。", "There is no cohort yet.")
    blocks = [[entry["node"] for entry in block] for block in said.body["blocks"]]
    released = load_released(session, node, period, [one for block in blocks for one in block])
    whole = lay_out(load_catalogue(), find_family(family), read_period(period))
    ready = [
        number
        for number, block in enumerate(blocks)
        if leave_out.isdisjoint(block) and all(_is_told(whole, released.by_node.get(one)) for one in block)
    ]
    if not ready:
        raise Conflict(
            "family-not-released",
            "没有一个统计组的全部节点都已发布该期。",
            "There is no block of which every node has released this period.",
        )
    nodes = sorted(one for number in ready for one in blocks[number])
    layout = choose_layout(family, period, load_released(session, node, period, nodes), nodes)
    if not layout.cells:
        raise Conflict("nothing-openable", "没有可打开的单元格。", "No cell may be opened.")
    body = {
        "cohort": read_cohort(said.body).digest,
        "layout": layout.digest,
        "cells": len(layout.cells),
        "blocks": ready,
    }
    held = vault.make(node, family, f"{home.id}-{period}-{attempt}")
    say(session, node, family, ANNOUNCE, _announcement(held, body), period=period, attempt=attempt)


def _is_told(layout: Layout, released: Publication | None) -> bool:
    try:
        if released is not None:
            check_told(layout, released)
    except Conflict:
        return False
    return released is not None


def _announcement(held: vault.Held, body: Mapping[str, Any]) -> dict[str, Any]:
    same = {name: body[name] for name in ("cohort", "layout", "cells", "blocks")}
    key = held.private.public_key().public_bytes_raw().hex()
    return {**same, "key": key, "nonce_sha256": hashlib.sha256(bytes.fromhex(held.nonce)).hexdigest()}


def _told(told: Totals, contributors: int) -> dict[str, Any]:
    """Return what is published: withheld cells without a reason."""
    return {
        "contributors": contributors,
        "published": [{"indicator": c, "dims": d, "value": str(v)} for (c, d), v in told.published.items()],
        "withheld": sorted([code, dims] for code, dims in told.withheld),
    }


def _peers(session: Session, federation: str) -> list[Peer]:
    found = session.exec(select(Peer).where(Peer.federation == federation, Peer.status == "active")).all()
    return list(found)


def _peer(session: Session, federation: str, node: str) -> str:
    peer = session.get(Peer, (federation, node))
    return peer.sealing_key if peer else ""


def _audit(session: Session, node: Node, actor: Actor, action: str, family: str, **options: Any) -> None:
    write_audit(session, account_id=actor.account_id, action=action, subject=family, at=node.clock(), **options)

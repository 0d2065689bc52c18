"""Carry rounds forward: each call says whatever is this node's turn to say, as aggregator or contributor, and no more.

Everything is worked out anew from the records (`turns`), so a crash between two steps costs nothing.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session, select

from federation.catalogue import load_catalogue
from federation.cohort import Cohort, cut_blocks, read_cohort
from federation.errors import Conflict, GonghuiError, NotPermitted, StorageError, TrustError
from federation.family import (
    Family,
    find_family,
    find_told,
    lay_out,
    load_families,
)
from federation.periods import read_period
from federation.publications import Name
from federation.rollup import Exact
from federation.rounds import (
    ANNOUNCE,
    COHORT,
    CONSENT,
    DESTROY,
    GIVE_UP,
    VOUCH,
    Board,
)
from federation.secretsum import (
    OPENED,
)
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.http.problems import place_of
from node.stream.memberlist import list_version
from node.stream.models import Peer
from node.stream.service import get_home
from node.totals import vault
from node.totals.board import find_second, is_spoken_of, load_board, load_outcome, say
from node.totals.released import choose_layout, load_released
from node.totals.turns import Turn, announcement
from node.totals.words import FEW, NOT_TOLD

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
    unopened: Mapping[Name, str] = field(default_factory=dict)  # of the family, why not summed

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {
            **vars(self),
            "published": [{"indicator": c, "dims": d, "value": v} for (c, d), v in self.published.items()],
            "withheld": [{"indicator": code, "dims": dims} for code, dims in self.withheld],
            "unopened": [{"indicator": c, "dims": d, "why": why} for (c, d), why in self.unopened.items()],
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

    Costs one query where nobody has ever said a word of totals.
    """
    with node.database.read() as session:
        if not is_spoken_of(session, node):
            return []
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


@dataclass(frozen=True)
class Overview:
    """A family as one node sees it. `role`: hub, second or contributor."""

    family: Family
    role: str
    contributes: bool
    consenting: int
    vouched: int
    periods: tuple[Standing, ...]  # newest first

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        return {**vars(self), "family": self.family.id, "periods": [one.as_json() for one in self.periods]}


def overview(node: Node, actor: Actor) -> list[Overview]:
    """Return every family and where its totals stand; raise NotPermitted, Conflict where there is no second body."""
    check_permission(actor, "indicator.read")
    found = []
    with node.database.read() as session:
        for family in load_families().values():
            board = load_board(session, node, family.id)
            roles = dict(zip(board.aggregators, ("hub", "second"), strict=True))
            periods = sorted({item.period for item in board.all if item.period}, reverse=True)
            periods = [period for period in periods if board.is_sound(period)]
            consenting = board.consenting()
            told = tuple(standing(session, node, family.id, period) for period in periods)
            role, on = roles.get(node.node_id, "contributor"), node.node_id in consenting
            known = len(consenting & board.vouched())
            found.append(Overview(family, role, on, len(consenting), known, told))
    return found


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
        _unopened(session, node, family, period, nodes, told) if total else {},
    )


def _unopened(
    session: Session, node: Node, family: str, period: str, nodes: list[str], total: Mapping[str, Any]
) -> dict[Name, str]:
    """Return which cells of a family were not summed, and why, from what the contributors have released."""
    whole = lay_out(load_catalogue(), find_family(family), read_period(period))
    common = find_told(whole, load_released(session, node, period, nodes).by_node.values())
    opened = {(cell["indicator"], cell["dims"]) for cell in total["published"]} | {*map(tuple, total["withheld"])}
    return {name: FEW if name in common else NOT_TOLD for name in whole.cells if name not in opened}


def load_exact(session: Session, node: Node, period: str) -> dict[Name, Exact]:
    """Return the published exact totals of a period, by cell; raise nothing where there are none."""
    if not is_spoken_of(session, node):
        return {}
    found: dict[Name, Exact] = {}
    for family in load_families():
        try:
            board = load_outcome(session, node, family, period)
            attempt = board.attempts(period)
            total = board.total(period, attempt)
            inside = frozenset(board.contributors(period, attempt))
        except (Conflict, TrustError):  # no second body, or another one than that of the cohort
            continue
        for cell in total["published"] if total else ():
            found[cell["indicator"], cell["dims"]] = Exact(int(cell["value"]), inside)
    return found


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
            with session.begin_nested():
                said += turn.aggregate() if node.node_id in board.aggregators else turn.contribute()
        except StorageError:
            raise
        except GonghuiError as error:  # what somebody said is wrong: this node says nothing in that round
            _LOG.warning("total %s/%s: %s", family, period, error.code)
        except Exception as error:  # noqa: BLE001  whatever somebody said, the exchange goes on
            _LOG.error("total %s/%s: %s at %s", family, period, type(error).__name__, place_of(error))
    return said


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
    told = {one for one, publication in released.by_node.items() if find_told(whole, [publication])}
    ready = [
        number
        for number, block in enumerate(blocks)
        if leave_out.isdisjoint(block) and all(one in told for one in block)
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
    say(session, node, family, ANNOUNCE, announcement(held, body), period=period, attempt=attempt)


def names_of(node: Node) -> dict[str, str]:
    """Return the members' names by their ids."""
    with node.database.read() as session:
        home = get_home(session, node)
        return dict(session.exec(select(Peer.id, Peer.name).where(Peer.federation == home.id)).all())


def _peers(session: Session, federation: str) -> list[Peer]:
    found = session.exec(select(Peer).where(Peer.federation == federation, Peer.status == "active")).all()
    return list(found)


def _audit(session: Session, node: Node, actor: Actor, action: str, family: str, **options: Any) -> None:
    write_audit(session, account_id=actor.account_id, action=action, subject=family, at=node.clock(), **options)

"""One node's turn in a round: what an aggregator or a contributor says next, worked out from the records alone.

Who finds something wrong never goes on: an aggregator gives up with a reason, a contributor does not contribute, or
objects.
"""

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

from sqlmodel import Session

from federation.catalogue import load_catalogue
from federation.errors import Conflict, TrustError
from federation.family import (
    Layout,
    Totals,
    table_of,
)
from federation.keys import sealing_public
from federation.publications import PUBLISHED
from federation.rounds import (
    ALPHA,
    ANNOUNCE,
    CLOSE,
    COHORT,
    CONTRIBUTE,
    DESTROY,
    GIVE_UP,
    PARTIAL,
    REVEAL,
    TOTAL,
    VALUES,
    VERIFY,
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
from node.context import Node
from node.indicators.past import load_past
from node.stream.models import Peer
from node.stream.service import get_home
from node.totals import vault
from node.totals.board import say
from node.totals.released import Released, choose_layout, choose_published, load_released


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
        return self._say(ANNOUNCE, announcement(held, first.body))

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
        if state in {REFUSED, SPOILED} and self.round is None:  # announced by one alone
            vault.destroy(self.node, self.board.family, self._name())
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


def announcement(held: vault.Held, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an aggregator announces of an attempt: what both say alike, its key, and the digest of its nonce."""
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


def _peer(session: Session, federation: str, node: str) -> str:
    peer = session.get(Peer, (federation, node))
    return peer.sealing_key if peer else ""

"""The states of records, outbox rows, join requests and drafts of the list, as data; whoever sets another is stopped.

A table reads: what happens -> (from which states, to which state). "" is a row that is not there yet. The tables guard
the columns themselves, so that no code can go round them; `docs/states.md` draws them.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm.base import NO_VALUE

from federation.drafts import DRAFT_STATES
from federation.errors import GonghuiError
from node.stream.models import JoinRequest, ListDraft, OutboxItem, StoredRecord

States = Mapping[str, tuple[frozenset[str], str]]

RECORD_STATES: States = {
    "append (own)": (frozenset({""}), "current"),
    "take its place": (frozenset({""}), "quarantined"),
    "refusal stands in": (frozenset({""}), "placeholder"),
    "content holds": (frozenset({"quarantined", "sealed", "unproven"}), "current"),
    "content refused": (frozenset({"current", "quarantined", "sealed"}), "quarantined"),
    "sealed to others": (frozenset({"quarantined", "current"}), "sealed"),
    "key revoked": (frozenset({"quarantined", "current"}), "unproven"),
    "judge again": (frozenset({"sealed", "unproven", "quarantined"}), "quarantined"),
    "origin begins its stream anew": (
        frozenset({"current", "quarantined", "sealed", "unproven", "equivocal", "placeholder"}),
        "abandoned",
    ),
    "origin contradicts it": (frozenset({"current", "unproven"}), "equivocal"),
}
OUTBOX_STATES: States = {
    "append": (frozenset({""}), "waiting"),
    "receipt verified": (frozenset({"waiting", "refused"}), "delivered"),
    "refused for good": (frozenset({"waiting"}), "refused"),
    "retry, or lost there": (frozenset({"delivered", "refused"}), "waiting"),
}
# A request at the hub's desk: the officers decide by what they sign, the hub only follows.
REQUEST_STATES: States = {
    "receive": (frozenset({""}), "pending"),
    "receive, listed already": (frozenset({""}), "listed"),
    "a draft grants it": (frozenset({"pending"}), "proposed"),
    "that draft is published": (frozenset({"pending", "proposed"}), "listed"),
    "another draft is published": (frozenset({"proposed"}), "pending"),
    "drop": (frozenset({"pending"}), "dropped"),
}
# A draft at the hub's desk: as `federation.drafts` has it, but it may also arrive with all its signatures.
DESK_DRAFT_STATES: States = {**DRAFT_STATES, "arrive signed": (frozenset({""}), "signed")}


def may_move(states: States, before: str, after: str) -> bool:
    """Tell whether some action leads from `before` to `after`; staying is always allowed."""
    return before == after or any(before in sources and after == target for sources, target in states.values())


def _guard(states: States, name: str) -> Any:
    def check(_: Any, after: str, before: Any, __: Any) -> None:
        known = "" if before is NO_VALUE or before is None else str(before)
        if not may_move(states, known, after):
            raise GonghuiError(
                "state-forbidden",
                f"{name}不能从“{known}”变为“{after}”。",
                f"A {name} may not go from {known or 'nothing'} to {after}.",
            )

    return check


event.listen(StoredRecord.state, "set", _guard(RECORD_STATES, "record"), active_history=True)
event.listen(OutboxItem.state, "set", _guard(OUTBOX_STATES, "outbox row"), active_history=True)
event.listen(JoinRequest.state, "set", _guard(REQUEST_STATES, "join request"), active_history=True)
event.listen(ListDraft.state, "set", _guard(DESK_DRAFT_STATES, "draft"), active_history=True)

"""How the member list stands at this node, for pages, `doctor` and programs: age, expiry, what is wrong with it.

Warned at half of every life and after three days without a successful refresh; an expiry, or a list that somebody
withholds or falsifies, is an error. Reads only.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from federation.errors import Text
from node.exchange.explain import explain
from node.stream.memberlist import find_state
from node.stream.models import Federation, MemberListState

STALE_DAYS = 3
_ROLES = {
    "root": Text("根文件（管理员）", "root (officers)"),
    "targets": Text("名录（管理员）", "the list (officers)"),
    "snapshot": Text("每日签发（汇总节点）", "the hub's daily signature"),
    "timestamp": Text("每日签发（汇总节点）", "the hub's daily signature"),
}
_STALE_MEND = Text(
    "gonghui sync run；汇总节点若已移交，请向管理员索取新的信任锚：gonghui enrol request --anchor FILE",
    "gonghui sync run; where the hub has moved, get its new anchor: gonghui enrol request --anchor FILE",
)
_REACH = frozenset({"list-unreachable"})  # beside `peer-...`: nobody was reached, nothing was refused


@dataclass(frozen=True)
class Warned:
    """One thing to mend. `serious`: the exchange waits, or somebody lies."""

    code: str
    text: Text
    mend: Text
    serious: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it for scripts and pages, in both languages."""
        said = {"message": self.text.en, "message_zh": self.text.zh, "mend": self.mend.en, "mend_zh": self.mend.zh}
        return {"code": self.code, "serious": self.serious, **said}


def list_standing(session: Session, node_id: str, federation: Federation, now: datetime) -> dict[str, Any] | None:
    """Return versions, expiry, last refresh and warnings as JSON values; None where no officers sign a list."""
    state = find_state(session, federation.id)
    if state is None:
        return None
    return {
        "versions": json.loads(state.versions),
        "expires_at": state.expires_at,
        "refreshed_at": state.refreshed_at,
        "refreshed_from": state.refreshed_from,
        "error": state.error,
        "warnings": [item.as_json() for item in list_warnings(state, now, is_hub=federation.hub_id == node_id)],
    }


def list_warnings(state: MemberListState, now: datetime, *, is_hub: bool) -> list[Warned]:
    """Return what to mend of the list, the most serious first."""
    found = []
    if state.expires_at is None:
        mend = Text("gonghui enrol status", "gonghui enrol status")
        found.append(Warned("list-missing", Text("还没有取得名录", "the list was not fetched yet"), mend))
    elif state.expires_at <= now:
        said = Text("成员名录已过期，新条目在等候", "the member list has expired; new records wait")
        found.append(Warned("list-expired", said, _mend(is_hub=is_hub), serious=True))
    if state.error and not (state.error in _REACH or state.error.startswith("peer-") or state.error == "list-expired"):
        mend = Text("打电话核实，不要接受。", "Ask an officer by telephone; accept nothing.")
        found.append(Warned(state.error, explain(state.error), mend, serious=True))
    for role in dict.fromkeys(_ROLES[role] for role in state.ageing.split() if role in _ROLES):
        said = Text(f"{role.zh}的有效期已过半", f"{role.en}: half of its life is over")
        found.append(Warned("list-ageing", said, _mend(is_hub=is_hub)))
    if not is_hub and state.refreshed_at is not None and now - state.refreshed_at > timedelta(days=STALE_DAYS):
        said = Text(f"超过 {STALE_DAYS} 天没有更新名录", f"the list was not refreshed for more than {STALE_DAYS} days")
        found.append(Warned("list-stale", said, _STALE_MEND))
    return sorted(found, key=lambda warned: not warned.serious)


def _mend(*, is_hub: bool) -> Text:
    if is_hub:
        return Text(
            "启动汇总节点；管理员每学期运行 gonghui federation renew。",
            "Start the hub; officers run `gonghui federation renew` each term.",
        )
    return Text(
        "gonghui sync run；仍不行请联系汇总节点或管理员。",
        "gonghui sync run; where that does not help, ask the hub or an officer.",
    )

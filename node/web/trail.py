"""The audit trail on screen: whether it is whole, how far others vouch for it, who did what, and the same as a file."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Query, Request, Response

from federation.errors import Text, TrustError
from node.access.permissions import check_permission
from node.audit.chain import Trail
from node.audit.events import EVENTS, NETWORK, SYSTEM
from node.exchange import status, trail
from node.web.export import WRITERS, Sheet
from node.web.pages import PageRoute, page
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)
_COLUMNS = ("number", "at", "account", "action", "subject", "result", "detail", "hash")
_NOBODY = {SYSTEM: Text("本程序", "this program"), NETWORK: Text("外部请求", "from outside")}
_GROUPS = {
    "node": Text("节点", "Node"),
    "user": Text("账号", "Accounts"),
    "session": Text("登录", "Sign-in"),
    "access": Text("被拒的操作", "Refused access"),
    "data": Text("数据", "Data"),
    "notice": Text("通知", "Events"),
    "calendar": Text("日历", "Calendars"),
    "paper": Text("个人信息保护文件", "Privacy papers"),
    "release": Text("发布", "Releases"),
    "review": Text("审核", "Reviews"),
    "total": Text("合计", "Totals"),
    "record": Text("条目", "Records"),
    "outbox": Text("发送", "Sending"),
    "bundle": Text("数据包", "Bundles"),
    "read": Text("读取", "Reads"),
    "peer": Text("对端", "Peers"),
    "member": Text("成员", "Members"),
    "federation": Text("联合体", "Federation"),
    "list": Text("成员名录", "Member list"),
    "key": Text("密钥", "Keys"),
    "checkpoint": Text("检查点", "Checkpoints"),
    "witness": Text("见证", "Witnessing"),
    "stream": Text("交换流", "Streams"),
    "log": Text("本节点日志", "This node's log"),
    "equivocation": Text("自相矛盾", "Contradictions"),
    "refusal": Text("不实的拒收", "Untrue refusals"),
    "quarantine": Text("隔离区", "Quarantine"),
    "audit": Text("审计日志", "Audit trail"),
}
_OPS = {
    "ping": Text("问候", "greeting"),
    "pull": Text("取条目", "pull"),
    "push": Text("送条目", "push"),
    "missing": Text("补缺", "gaps"),
    "heads": Text("最新条目声明", "head statements"),
    "witness": Text("见证", "witnessing"),
    "relay": Text("信箱", "mailbox"),
    "membership": Text("成员名录", "member list"),
}
_DETAILS = {
    "count": Text("次数", "times"),
    "kind": Text("类型", "kind"),
    "stream": Text("交换流", "stream"),
    "sequence": Text("序号", "no."),
    "size": Text("条数", "entries"),
    "period": Text("报告期", "period"),
    "revision": Text("版本", "revision"),
    "rows": Text("行数", "rows"),
    "role": Text("角色", "role"),
    "version": Text("版本", "version"),
}
Word = Annotated[str, Query(max_length=128)]
Number = Annotated[int, Query(ge=0, le=2**62)]


@router.get("/audit")
def show(
    request: Request,
    visitor: VisitorOf,
    group: Word = trail.NOT_READS,
    account: Word = "",
    subject: Word = "",
    before: Number = 0,
    verify: Word = "",
) -> Response:
    """Show the newest entries that are wanted, and whether the whole trail holds."""
    node, actor = visitor.node, visitor.account
    wanted = trail.Wanted(group, account, subject.strip(), before)
    rows = trail.search_audit(node, actor, wanted)
    end = trail.trail_of(node)
    broken = _fault(visitor, end) if verify or end.size <= trail.VERIFIED_UNASKED else None
    return page(
        request,
        "audit.html",
        rows=rows,
        moment=datetime.fromisoformat,
        wanted=wanted,
        end=end,
        checked=bool(verify) or end.size <= trail.VERIFIED_UNASKED,
        broken=broken,
        vouched=trail.find_vouched(node, actor),
        but_reads=trail.NOT_READS,
        groups=[(name, _GROUPS[name]) for name in trail.event_groups()],
        accounts=_accounts(visitor),
        peers={peer["id"]: peer["name"] for peer in status.list_members(node, actor)},
        events=EVENTS,
        ops=_OPS,
        details=_DETAILS,
        loads=json.loads,
        older=_query(replace(wanted, before=rows[-1]["number"])) if len(rows) == trail.SHOWN else "",
        same=_query(replace(wanted, before=0)),
    )


@router.get("/audit/trail.{suffix}")
def download(
    visitor: VisitorOf, suffix: str, group: Word = trail.NOT_READS, account: Word = "", subject: Word = ""
) -> Response:
    """Answer what the page shows as a file, with the hashes; that it was taken is itself an entry."""
    node, actor = visitor.node, visitor.account
    check_permission(actor, "audit.read")
    if suffix not in {"csv", "json"}:
        raise HTTPException(404)
    wanted = trail.Wanted(group, account, subject.strip())
    rows = trail.search_audit(node, actor, wanted, limit=trail.MAX_EXPORTED)[::-1]
    trail.note_export(node, actor, len(rows))
    cells = [[row[name] for name in _COLUMNS] for row in rows]
    file = WRITERS[suffix](Sheet("audit", [f"{node.node_id} {node.clock().isoformat()}"], _COLUMNS, cells, rows))
    headers = {"Content-Disposition": f'attachment; filename="audit.{file.suffix}"'}
    return Response(file.content, media_type=file.media_type, headers=headers)


def _fault(visitor: Visitor, end: Trail) -> TrustError | None:
    """Return what is wrong with the trail, or None where all of it holds up to `end` and beyond."""
    try:
        trail.verify_audit(visitor.node, visitor.account, [end])
    except TrustError as error:
        return error
    return None


def _accounts(visitor: Visitor) -> dict[str, str]:
    names = {who: text.in_language(visitor.language) for who, text in _NOBODY.items()}
    return {**trail.account_names(visitor.node, visitor.account), **names}


def _query(wanted: trail.Wanted) -> str:
    usual = {"group": trail.NOT_READS, "account": "", "subject": "", "before": 0}
    return urlencode({name: value for name, value in vars(wanted).items() if value != usual[name]})

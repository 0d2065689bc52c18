"""The papers that the law asks of a college, filled from what this node really is, for a person to complete.

* record of processing (个人信息处理活动记录): Personal Information Protection Law, articles 54 to 56
* impact assessment (个人信息保护影响评估报告): articles 55 and 56; the steps follow GB/T 39335

What only a person can know stands as 【请填写：…】. No personal value is in a paper, and none claims a certification.
They are in Chinese, as the office that reads them is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, func, select

from federation.documents import sha256_hex
from federation.lockbox import is_locked
from federation.protection import CELL_KEY
from node.access.accounts import ROLE_NAMES
from node.access.models import Account
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.audit.models import AuditEntry
from node.context import Node
from node.db import Meta
from node.indicators.ledger import whole_ledger
from node.indicators.noise_choice import agreed_protection
from node.intake.models import DataChange
from node.keycare import BACKED_UP, worries_of
from node.keyring import key_files
from node.members.held import count_held, count_persons
from node.stream.models import Federation, Peer
from node.stream.standing import ACTIVE

RECORD, ASSESSMENT = "record", "assessment"
TITLES = {RECORD: "个人信息处理活动记录", ASSESSMENT: "个人信息保护影响评估报告"}
_TRANSPORTS = {"direct": "直接连接", "relay": "经汇总节点的信箱转交", "file": "只用移动存储介质"}
_INCIDENTS = {
    "access.refuse": "越权操作被拒绝",
    "read.refuse": "对端请求被拒绝",
    "witness.refuse": "他人日志不能通过见证",
    "data.undo": "撤销导入",
}


@dataclass(frozen=True)
class Paper:
    """One paper as Markdown, and the SHA-256 (hex) of its text before the line that names it."""

    title: str
    text: str
    digest: str


def write_paper(node: Node, actor: Actor, kind: str) -> Paper:
    """Fill a paper (`record`, `assessment`) from this node's settings and database; raise NotPermitted."""
    check_permission(actor, "paper.write")
    with node.database.write() as session:
        body = "\n".join(_record(session, node) if kind == RECORD else _assessment(session, node))
        write_audit(session, account_id=actor.account_id, action="paper.write", subject=kind, at=node.clock())
    digest = sha256_hex(body.encode())
    return Paper(TITLES[kind], f"{body}\n\n本文件以上内容的 SHA-256：`{digest}`\n", digest)


def _record(session: Session, node: Node) -> Iterator[str]:
    yield from _head(node, RECORD)
    yield from _who(node)
    yield from _what(session)
    yield from _source(session)
    yield from _access(session)
    yield from _given(session, node)
    yield from _measures(session, node)
    yield from _incidents(session)
    yield from ("", "## 审核", "", _blank("审核人、日期、签字"))


def _assessment(session: Session, node: Node) -> Iterator[str]:
    yield from _head(node, ASSESSMENT)
    yield from _who(node)
    yield from (
        "",
        "## 必要性",
        "",
        f"处理目的：{_blank('处理目的与法律依据，如《工会法》规定的会员管理与统计')}",
        "下表所列信息各有用途；没有用途的列在导入时不读取。",
    )
    yield from _what(session)
    yield from _source(session)
    yield from _given(session, node)
    yield from _risks(node)
    yield from _measures(session, node)
    yield from _incidents(session)
    yield from (
        "",
        "## 结论",
        "",
        _blank("风险是否可以接受；须整改的事项、责任人、期限"),
        "",
        _blank("评估人、审核人、日期、签字"),
        "",
        "本报告由程序按实际配置生成，不是认证，也不代替人的判断。",
    )


def _head(node: Node, kind: str) -> Iterator[str]:
    at = node.clock().astimezone(ZoneInfo(node.settings.node.timezone))
    yield from (f"# {TITLES[kind]}", "", f"生成时间：{at:%Y-%m-%d %H:%M}（{node.settings.node.timezone}）")


def _who(node: Node) -> Iterator[str]:
    settings = node.settings
    rows = [
        ("单位", settings.node.name),
        ("工会统计代码", settings.node.code or _blank("901 代码")),
        ("节点编号", node.node_id),
        ("联系人", settings.privacy.contact or _blank("联系人；可写入配置 privacy.contact")),
        ("负责人", _blank("个人信息保护负责人")),
    ]
    yield from ("", "## 处理者", "", *_table(("项目", "内容"), rows))


def _what(session: Session) -> Iterator[str]:
    rows = [(one.held.name.zh, one.held.purpose.zh, str(one.persons)) for one in count_held(session)]
    yield from ("", "## 处理的个人信息", "", f"目前保存 {count_persons(session)} 人的信息。", "")
    yield from _table(("信息", "用途", "有值的人数"), rows)
    yield from ("", f"保存期限：{_blank('保存期限，及到期后的处理')}")


def _source(session: Session) -> Iterator[str]:
    changes = session.exec(
        select(DataChange).where(DataChange.kind == "import", col(DataChange.undone_by).is_(None))
    ).all()
    last = max((change.as_of for change in changes if change.as_of), default=None)
    yield from (
        "",
        "## 来源",
        "",
        f"人事名册，已导入 {len(changes)} 次" + (f"，最近一次的数据日期 {last}。" if last else "。"),
    )


def _access(session: Session) -> Iterator[str]:
    counted = session.exec(select(Account.role, func.count()).where(Account.active).group_by(Account.role)).all()
    rows = [(ROLE_NAMES[role].zh, str(count)) for role, count in sorted(counted)]
    yield from ("", "## 谁可以使用", "", *_table(("角色", "账号数"), rows), "", "管理员看不到个人记录。")


def _given(session: Session, node: Node) -> Iterator[str]:
    yield from ("", "## 向外提供", "", "个人记录不向外提供。提供的是经保护、审批并签名的人数：", "")
    ledger, rows = whole_ledger(session, node), []
    for audience, reader in (("all", "联合体全体成员"), ("hub", "汇总节点")):
        told = [entry for entry in ledger if entry.audience == audience]
        counts = len(told), sum(entry.published for entry in told), sum(entry.withheld for entry in told)
        if told:
            rows.append((reader, *map(str, counts)))
    yield from _table(("提供给", "发布份数", "公开的数字", "不公开的数字"), rows or [("尚未发布", "0", "0", "0")])
    yield from _noise(session)
    yield from ("", "- 活动通知由经办人撰写，内容（可能有联系人）发给全体成员")
    for federation in session.exec(select(Federation)).all():
        members = session.exec(
            select(func.count()).select_from(Peer).where(Peer.federation == federation.id, Peer.status == ACTIVE)
        ).one()
        yield f"- 联合体“{federation.name}”：其他成员 {members} 个"
    yield f"- 往来方式：{_TRANSPORTS[node.settings.exchange.transport]}"


def _noise(session: Session) -> Iterator[str]:
    """Say which dataflows leave with noise, as the list in force has it."""
    agreed = agreed_protection(session)
    for dataflow, choice in sorted(agreed.choices.items()):
        if choice.method == CELL_KEY:
            yield f"- {dataflow}：每个人数在发出前按单元格密钥随机改动，同一批人改动相同"
        else:
            yield (
                f"- {dataflow}：差分隐私加噪，每次发布用去每人 ε {choice.epsilon}，"
                f"每工会年度共 {agreed.year_epsilon}（gonghui privacy budget）"
            )


def _risks(node: Node) -> Iterator[str]:
    privacy = node.settings.privacy
    least, of_class_2 = privacy.minimum_cell, privacy.minimum_cell_s2
    approval = "双人审批" if privacy.approval == "two-person" else "单人审批（写入每份发布）"
    small = f"少于 {least} 人（敏感类 {of_class_2} 人）的和能推算出它们的数字不公开；与以往全部发布一起检查"
    rows = [
        ("从小数字认出个人", small, "前后两期之差"),
        ("认识其中几人的同事推出其余", f"按每格有 {privacy.insiders} 人被认识来检查", "认识更多人的同事"),
        ("一人擅自发布", approval, "系统管理员可签发账号，有审计"),
        ("传输中被改动或冒名", "每份文件签名，逐份核验；名录由多名签署人签名", "成员谎报自己的数字"),
        ("机器被盗或被入侵", "见下“保护措施”", "数据库文件未加密时，持有磁盘者可读"),
        ("本人要求删除", "不再计入以后的数字", "已公开的数字不变"),
    ]
    yield from ("", "## 风险与措施", "", *_table(("风险", "已采取的措施", "仍然存在的"), rows))


def _measures(session: Session, node: Node) -> Iterator[str]:
    settings = node.settings
    files = [path for path in key_files(node.folder, settings.keys) if path.is_file()]
    locked = sum(is_locked(path.read_bytes()) for path in files)
    backed_up = session.get(Meta, BACKED_UP) is not None
    yield from ("", "## 保护措施", "")
    yield f"- 密钥文件 {len(files)} 个，其中 {locked} 个用口令加密；密钥备份：{'已做' if backed_up else '未做'}"
    tls = "HTTPS" if settings.server.tls_certificate else "本程序未启用 HTTPS"
    yield f"- 页面与接口：{tls}；监听 {settings.server.host}"
    yield f"- 连续 {settings.web.login_attempts} 次登录失败后锁定 {settings.web.login_lock_seconds // 60} 分钟"
    yield "- 审计日志只增不改，前后相链，末尾由其他节点见证"
    yield "- 日志、网址、错误信息中不含个人信息"
    for worry in worries_of(node):
        yield f"- 须尽快处理：{worry.said.zh}"


def _incidents(session: Session) -> Iterator[str]:
    incidents = select(AuditEntry.action, func.count()).where(col(AuditEntry.action).in_(_INCIDENTS))
    counted = dict(session.exec(incidents.group_by(AuditEntry.action)).all())
    rows = [(title, str(counted.get(action, 0))) for action, title in _INCIDENTS.items()]
    yield from ("", "## 事件（审计日志条目数）", "", *_table(("事件", "条数"), rows), "", _blank("其他事件与处置"))


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(cell.replace("|", "／") for cell in row) + " |"


def _blank(what: str) -> str:
    return f"【请填写：{what}】"

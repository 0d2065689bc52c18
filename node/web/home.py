"""The home page: what is to do for this account, four key figures, what is coming up."""

from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request, Response
from sqlmodel import col, func, select

from federation.errors import Text
from node.access.models import Account
from node.activities.service import Shown, list_notices
from node.context import Node
from node.exchange import status
from node.indicators.release import DRAFT, ONE_PERSON, find_record, list_releases
from node.intake.models import ImportFile
from node.keycare import worries_of
from node.members import roster
from node.web.keyfigures import read_key_figures
from node.web.pages import PageRoute, page
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)
_SOON = 3  # events on the home page
_LATE_SECONDS = 3 * 86_400  # without contact that long, somebody should look


@dataclass(frozen=True)
class Task:
    """Something to do: a sentence, where to do it, and what the link is called."""

    text: Text
    path: str
    verb: Text
    kind: str = ""  # warn where it should not wait
    command: str = ""  # what mends it


@router.get("/")
def home(request: Request, visitor: VisitorOf) -> Response:
    """Show what waits for this account."""
    period, figures = read_key_figures(visitor)
    return page(
        request,
        "home.html",
        tasks=[
            *_data_tasks(visitor),
            *_release_tasks(visitor),
            *_exchange_tasks(visitor),
            *_account_tasks(visitor),
            *_key_tasks(visitor),
        ],
        period=period,
        figures=figures,
        events=_coming(visitor),
    )


def _data_tasks(visitor: Visitor) -> list[Task]:
    if not visitor.may("data.import"):
        return []
    with visitor.node.database.read() as session:
        staged = session.exec(
            select(ImportFile).where(ImportFile.state == roster.STAGED).order_by(col(ImportFile.created_at).desc())
        ).all()
        confirmed = session.exec(
            select(func.count()).select_from(ImportFile).where(ImportFile.state == roster.CONFIRMED)
        ).one()
    tasks = [
        Task(
            Text(f"“{item.file_name}”等待确认", f"“{item.file_name}” waits to be confirmed"),
            f"/imports/{item.id}",
            Text("继续", "Go on"),
            "warn",
        )
        for item in staged
    ]
    if not confirmed and not staged:
        tasks.append(
            Task(
                Text("还没有名册，从导入名册开始", "There is no roster yet: import one to begin"),
                "/imports/new",
                Text("导入名册", "Import"),
            )
        )
    return tasks


def _release_tasks(visitor: Visitor) -> list[Task]:
    """Return the drafts that wait: for this account to approve, or for somebody else."""
    if not visitor.may("release.read") or visitor.node.settings.hub.enabled:
        return []
    with visitor.node.database.read() as session:
        drafts = [item for item in list_releases(session, visitor.account) if item.state == DRAFT]
    tasks = []
    for draft in drafts:
        mine = draft.prepared_by == visitor.account.account_id and draft.approval != ONE_PERSON
        if visitor.may("release.approve") and not mine:
            text = Text(f"{draft.period} 的发布等待您审批", f"The release of {draft.period} waits for your approval")
            tasks.append(Task(text, f"/releases/{draft.id}", Text("查看并审批", "Look and approve"), "warn"))
        else:
            text = Text(f"{draft.period} 的发布等待审批人批准", f"The release of {draft.period} waits for its approver")
            tasks.append(Task(text, f"/releases/{draft.id}", Text("查看", "Look")))
    return tasks


def _exchange_tasks(visitor: Visitor) -> list[Task]:
    """Return what waits in the exchange, in every federation: a trouble in the one not looked at is a trouble too."""
    if not visitor.federations:
        return _tasks_in(visitor, visitor.node)
    tasks = []
    for identity, name in visitor.federations:
        for task in _tasks_in(visitor, visitor.node.within(identity)):
            text = Text(f"{name}：{task.text.zh}", f"{name}: {task.text.en}")
            tasks.append(replace(task, text=text, path=f"{task.path}?federation={identity}"))
    return tasks


def _tasks_in(visitor: Visitor, node: Node) -> list[Task]:
    told = status.sync_status(node, visitor.account)
    tasks = []
    if visitor.may("peer.write") and told["federation"] is None:
        tasks.append(
            Task(Text("还没有加入联合体", "This node is in no federation yet"), "/peers", Text("加入", "Join"))
        )
    if visitor.may("quarantine.read") and told["quarantined"]:
        count = told["quarantined"]
        text = Text(f"隔离区有 {count} 个条目", f"{count} records lie in quarantine")
        tasks.append(Task(text, "/quarantine", Text("查看", "Look"), "warn"))
    tasks += _returned_tasks(visitor, node, told["reviews"])
    age = told["shown_age_seconds"]
    if age is not None and age > _LATE_SECONDS:
        days = age // 86_400
        text = Text(f"已有 {days} 天没有成功同步", f"Nothing was synchronised for {days} days")
        tasks.append(Task(text, "/sync", Text("查看", "Look"), "warn"))
    return tasks


def _returned_tasks(visitor: Visitor, node: Node, reviews: list[dict[str, Any]]) -> list[Task]:
    """Return what the hub wants corrected: its last word on each release that has no newer revision since."""
    if not visitor.may("release.prepare"):
        return []
    tasks, seen = [], set()
    with node.database.read() as session:
        for review in reviews:  # newest first
            subject = review["subject"]
            newest = find_record(session, node, subject)
            fresh = newest is not None and newest.id == review["record"] and subject not in seen
            seen.add(subject)
            if fresh and review["verdict"] == "returned":
                text = Text(f"{subject} 被退回修改：{review['note']}", f"{subject} was returned: {review['note']}")
                tasks.append(Task(text, "/releases", Text("更正", "Correct"), "warn"))
    return tasks


def _key_tasks(visitor: Visitor) -> list[Task]:
    if not visitor.may("key.write"):
        return []
    return [Task(w.said, "/settings", Text("设置", "Settings"), "warn", w.mend) for w in worries_of(visitor.node)]


def _account_tasks(visitor: Visitor) -> list[Task]:
    if not visitor.may("user.write"):
        return []
    with visitor.node.database.read() as session:
        others = session.exec(
            select(func.count()).select_from(Account).where(Account.id != visitor.account.account_id)
        ).one()
    if others:
        return []
    text = Text("还没有干部和审批人的账号", "There are no accounts for officers and approvers yet")
    return [Task(text, "/users", Text("增加账号", "Add"))]


def _coming(visitor: Visitor) -> list[Shown]:
    with visitor.node.database.read() as session:
        return list_notices(session, visitor.node, visitor.account, past=False)[:_SOON]

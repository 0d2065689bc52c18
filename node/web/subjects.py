"""What a record is about, in words: a release by family and period, a notice by title. Codes stay for programs."""

from collections.abc import Callable
from functools import cache

from sqlmodel import select

from federation.errors import Text
from node.activities.models import Notice
from node.web.figures import FAMILY_TEXTS
from node.web.visitors import Visitor

REVIEW = "review:"
_HUB_ONLY = Text("（只给汇总节点）", " (for the hub alone)")
_LIST = Text("成员名单", "Member list")
_REVIEW = Text("审核意见", "Review")
_NOTICE = Text("活动通知", "Event notice")


def subjects_of(visitor: Visitor) -> Callable[[str], str]:
    """Return what says a subject, or a dataflow, in the visitor's language; titles are read once, if at all."""

    @cache
    def titles() -> dict[str, str]:
        with visitor.node.database.read() as session:
            rows = session.exec(select(Notice.id, Notice.title)).all()
        return {identity.partition("@")[0]: title for identity, title in rows}

    def about(subject: str) -> str:
        language = visitor.language
        dataflow, _, period = subject.partition("/")
        family, dot, readers = dataflow.partition(".")
        if dot and family in FAMILY_TEXTS:
            limited = _HUB_ONLY.in_language(language) if readers == "hub" else ""
            return f"{FAMILY_TEXTS[family].in_language(language)} {period}".rstrip() + limited
        if subject.startswith("e-"):
            return titles().get(subject) or _NOTICE.in_language(language)
        if subject.startswith(REVIEW):
            return _REVIEW.in_language(language)
        return _LIST.in_language(language) if subject == "member-list" else subject

    return about

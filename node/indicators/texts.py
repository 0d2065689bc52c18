"""What states of releases and statuses of observations are called for people."""

from federation.errors import Text
from federation.rollup import NO_REPORT, REPORTED, WORDS
from federation.statuses import STATUSES

STATUS = {
    **{code: STATUSES[word].name for code, word in WORDS.items()},
    REPORTED: Text("已公开", "published"),
    NO_REPORT: Text("无数据", "missing"),
}
STATE = {
    "draft": Text("待审批", "waiting for approval"),
    "approved": Text("已发布", "published"),
    "withdrawn": Text("已撤回", "withdrawn"),
    "superseded": Text("已被更正", "superseded"),
}

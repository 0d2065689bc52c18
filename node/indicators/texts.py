"""What states of releases and statuses of observations are called for people."""

from federation.errors import Text

STATUS = {
    "A": Text("已公开", "published"),
    "O": Text("无数据", "missing"),
    "M": Text("不适用", "not applicable"),
    "Q": Text("不公开", "withheld"),
}
STATE = {
    "draft": Text("待审批", "waiting for approval"),
    "approved": Text("已发布", "published"),
    "withdrawn": Text("已撤回", "withdrawn"),
    "superseded": Text("已被更正", "superseded"),
}

"""What a page says was done: `?done=KEY` in the address. Only these keys say anything."""

from collections.abc import Mapping

from federation.errors import Text

DONE: Mapping[str, Text] = {
    "password-set": Text("密码已设置，请登录。", "The password is set; sign in."),
    "signed-out": Text("已退出登录。", "You are signed out."),
    "imported": Text("已写入。", "Written."),
    "import-same": Text("与已有数据完全相同，没有写入任何内容。", "The same as what is known; nothing was written."),
    "import-discarded": Text("已放弃，没有写入任何内容。", "Given up; nothing was written."),
    "import-undone": Text("已撤销这次导入。", "The import was taken back."),
    "mapping-forgotten": Text("已忘记该来源的对应关系。", "The mapping of this source is forgotten."),
    "release-prepared": Text(
        "草稿已编制，请另一位审批人查看并批准。", "The draft is ready; somebody else has to approve it."
    ),
    "release-approved": Text("已签名发布，下次同步时送达。", "Signed; it goes out with the next synchronisation."),
    "release-withdrawn": Text("草稿已撤回。", "The draft is withdrawn."),
    "reviewed": Text(
        "审核意见已签名，对方下次同步时收到。",
        "The review is signed; its college reads it with its next synchronisation.",
    ),
    "total-consent": Text("已签名，下次同步时各方可见。", "Signed; the others see it with the next synchronisation."),
    "total-begun": Text(
        "合计已发起，各方随同步自动进行。", "The total is begun; the rest runs with each synchronisation."
    ),
    "notice-published": Text("活动通知已发布。", "The event is published."),
    "notice-updated": Text("活动通知已更新。", "The event is updated."),
    "notice-cancelled": Text("活动已取消。", "The event is cancelled."),
    "feed-revoked": Text("日历地址已作废。", "The calendar address no longer works."),
    "sync-started": Text("同步已开始。", "Synchronisation has started."),
    "outbox-retried": Text("将重新发送。", "It goes again."),
    "retried": Text("已重新检查该条目。", "The record was judged again."),
    "join-sent": Text(
        "申请已送达汇总节点；请电话把十六个词读给管理员。", "The hub has it; read the officers the sixteen words."
    ),
    "join-file": Text(
        "没有联系上汇总节点；请下载申请文件转交。", "The hub was not reached; download the request and hand it over."
    ),
    "join-waiting": Text("管理员尚未签署。", "The officers have not signed yet."),
    "join-active": Text("已加入联合体。", "You have joined the federation."),
    "role-set": Text("角色已更改。", "The role is changed."),
    "user-closed": Text("账号已停用。", "The account is closed."),
    "user-opened": Text("账号已启用。", "The account is open again."),
}

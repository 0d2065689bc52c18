"""Everything the audit trail can tell, as one closed table: what is not here cannot be written.

An entry names who (an account, `system` or `network`), what (one of these), whom (an id or a code) and the result. It
never holds a person's data: of texts it takes ids and codes alone.
"""

from collections.abc import Mapping

from federation.errors import Text

SYSTEM, NETWORK = "system", "network"  # who acts where no account does: this program, a stranger

EVENTS: Mapping[str, Text] = {
    # this node and its people
    "node.init": Text("建立节点", "node made"),
    "user.add": Text("新建账号", "account added"),
    "user.role": Text("更改角色", "role changed"),
    "user.enable": Text("启用账号", "account enabled"),
    "user.disable": Text("停用账号", "account disabled"),
    "user.token": Text("签发令牌", "token issued"),
    "user.link": Text("签发设密链接", "password link issued"),
    "user.password": Text("设置密码", "password set"),
    "session.start": Text("登录", "signed in"),
    "session.end": Text("退出", "signed out"),
    "access.refuse": Text("拒绝越权操作", "access refused"),
    # data
    "data.import": Text("导入数据", "data imported"),
    "data.undo": Text("撤销导入", "import undone"),
    "data.mapping-forget": Text("忘记列对应", "column mapping forgotten"),
    "notice.publish": Text("发布通知", "notice published"),
    "notice.update": Text("更正通知", "notice corrected"),
    "notice.cancel": Text("取消通知", "notice cancelled"),
    "calendar.issue": Text("签发日历地址", "calendar address issued"),
    "calendar.revoke": Text("作废日历地址", "calendar address revoked"),
    # what leaves the house
    "release.prepare": Text("编制发布", "release prepared"),
    "release.approve": Text("批准并签名发布", "release approved and signed"),
    "paper.write": Text("生成个人信息保护文件", "privacy paper written"),
    "release.withdraw": Text("撤回发布", "release withdrawn"),
    "total.consent": Text("参加或退出合计", "contribution to totals switched"),
    "total.vouch": Text("核实合计成员", "contributors vouched for"),
    "total.begin": Text("发起合计", "total begun"),
    "total.give-up": Text("放弃合计", "total given up"),
    "review.write": Text("审核", "review written"),
    "record.sign": Text("签名条目", "record signed"),
    "record.countersign": Text("新密钥补签条目", "record signed again by the new key"),
    "node.recover": Text("灾后恢复", "recovered from a backup"),
    "record.seal-again": Text("重新密封条目", "record sealed again"),
    "outbox.retry": Text("重新发送条目", "delivery tried again"),
    "bundle.export": Text("导出数据包", "bundle exported"),
    "bundle.import": Text("导入数据包", "bundle imported"),
    "record.export": Text("导出条目", "record exported"),
    "read.serve": Text("向对端提供读取", "reads served to a peer"),
    "read.refuse": Text("拒绝对端请求", "requests of peers refused"),
    "read.page": Text("查看页面", "pages read"),
    # federation
    "peer.add": Text("登记汇总节点", "hub pinned"),
    "member.enrol": Text("登记成员", "member enrolled"),
    "member.active": Text("恢复成员", "member resumed"),
    "member.suspended": Text("停用成员", "member suspended"),
    "member.key-changed": Text("成员换钥", "member's key changed"),
    "member.key-revoked": Text("成员密钥作废", "member's key revoked"),
    "federation.create": Text("建立联合体", "federation founded"),
    "federation.refound": Text("重建联合体", "federation founded anew"),
    "federation.pin": Text("固定锚点", "anchor pinned"),
    "federation.leave": Text("本节点离开联合体", "federation left by this node"),
    "list.published": Text("公布成员名录", "member list published"),
    "member.drop-request": Text("搁置入会申请", "request to join put aside"),
    "list.taken": Text("采用成员名录", "member list taken"),
    "key.protect": Text("为密钥设口令", "passphrase set on keys"),
    "key.unprotect": Text("取消密钥口令", "passphrase taken off keys"),
    "key.rotate-seal": Text("更换解密密钥", "sealing key rotated"),
    "key.backup": Text("备份密钥", "keys backed up"),
    "key.rotate-request": Text("申请更换签名密钥", "new signing key asked for"),
    "key.replace-request": Text("申请以新密钥代替遗失的", "key asked for in place of a lost one"),
    "key.turn": Text("启用新签名密钥", "new signing key in use"),
    # evidence
    "checkpoint.sign": Text("签名日志检查点", "checkpoint of the log signed"),
    "witness.cosign": Text("为他人日志作见证", "another log cosigned"),
    "witness.refuse": Text("拒绝见证", "another log not cosigned"),
    "witness.restored": Text("他人日志自备份恢复后重新开始", "another log begins anew after a restore"),
    "stream.reopen": Text("重新开始本节点的交换流", "own stream opened anew"),
    "stream.reopened": Text("他人的交换流重新开始", "another's stream began anew"),
    "log.restart": Text("本节点日志自备份恢复后重新开始", "this node's log begins anew after a restore"),
    "equivocation.found": Text("发现自相矛盾的签名", "contradiction found"),
    "refusal.untrue": Text("拒收声明与原件不符", "refusal that names another record than its origin signed"),
    "quarantine.retry": Text("重试隔离条目", "quarantined record tried again"),
    "audit.export": Text("导出审计日志", "audit trail exported"),
}

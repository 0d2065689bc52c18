"""What commands and pages say of exact totals, in an officer's words."""

from federation.errors import Text

CONSENT = Text(
    "参加后，本校的完整表被拆成两份随机数，分别加密给汇总节点和第二汇总方；任何一方单独看到的只是随机数。"
    "双方把各校的份额相加后才得到合计，并只公布由各校公开标记算得可以公布的合计。参加的各校能看到全部打开的合计，"
    "用来核对合计没有被改动。若两个汇总方串通，他们能看到本校的数；合计完成后双方销毁密钥并签名声明。",
    "Your table is split into two lots of random numbers, one sealed to the hub, one to the second body; either alone "
    "sees random numbers. Only the sum over many nodes is put together, and of it only such totals are published as "
    "public flags allow. Contributors see all opened totals, to verify them. If both aggregators collude they can see "
    "your figures; when the total is done both destroy their keys and say so under signature.",
)
NOT_TOLD, FEW = "not-told", "few"
UNOPENED = {
    NOT_TOLD: Text("有参加单位没有发布这张表", "a contributor has not released this table"),
    FEW: Text(
        "不公开的单位不足四个，或与已公布的数字合起来会透露三个以下单位的情况",
        "fewer than four withhold it, or beside what is published it would tell of three nodes or fewer",
    ),
}
STATES = {
    "": Text("尚未发起", "not begun"),
    "collecting": Text("收集份额", "collecting"),
    "closed": Text("已收齐", "closed"),
    "tested": Text("检验通过", "tested"),
    "exchanged": Text("部分和已交换", "partial sums exchanged"),
    "opened": Text("合计已打开并核实", "opened and verified"),
    "refused": Text("已放弃", "given up"),
    "spoiled": Text("合计被改动，不显示", "spoiled, not shown"),
    "destroyed": Text("已结束，密钥已销毁", "over, keys destroyed"),
}

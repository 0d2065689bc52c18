"""What a stable code means for a person who looks at sync or quarantine, and what to do about it."""

from federation.errors import Text

_JSON = Text("内容不是规范的 JSON，请联系来源节点。", "The content is not strict JSON; tell the node it came from.")

_TEXTS: dict[str, Text] = {
    "": Text("正常。", "In order."),
    "unjudged": Text("尚未检查内容，请重试。", "Its content was not judged yet; try again."),
    # outer steps
    "envelope-too-large": Text("文件过大，已拒绝。", "The document is too large."),
    "envelope-shape": Text("信封格式不对，可能在途中被改动。", "Not an envelope; perhaps changed on its way."),
    "page-shape": Text("应答不是交换页。", "The answer is not a page of envelopes."),
    "page-too-large": Text("应答过大。", "The answer is too large."),
    "document-too-large": Text("文件过大，已拒绝。", "The document is too large."),
    "type-unknown": Text("不认识的文件类型或版本，请升级本节点。", "Unknown type or version; update this node."),
    "type-mismatch": Text("文件类型不符。", "A document of another type was expected."),
    "version-unknown": Text("不认识的版本，请升级本节点。", "Unknown version; update this node."),
    "key-unknown": Text(
        "签名密钥不在成员名录中；名录更新后会自动处理。",
        "The signing key is not in the member list; it is taken once the list names it.",
    ),
    "key-not-signer": Text("不是由应有的密钥签名。", "Not signed by the key that should have."),
    "key-id-mismatch": Text("公钥与其编号不符。", "A public key does not belong to its id."),
    "member-suspended": Text("该成员已停用。", "This member is suspended."),
    "signature-invalid": Text(
        "签名无效：内容在来源处或途中被改动。请来源节点核对并重新发布。",
        "The signature does not hold: it was changed at its origin or on its way. Its origin should publish it anew.",
    ),
    "origin-mismatch": Text("冒用其他节点的名义。", "It speaks in another node's name."),
    "audience-mismatch": Text("对象不包括本节点。", "It is not meant for this node."),
    "stream-audience": Text("交换流与对象不符。", "Stream and audience do not agree."),
    "sequence-gap": Text(
        "前面的条目还没有到，到齐后自动处理。", "An earlier record is not here yet; it is taken when that comes."
    ),
    "previous-mismatch": Text("与前一条目不衔接。", "It does not follow the record before it."),
    "waiting-room-full": Text("等候的条目过多，稍后会重新获取。", "Too many records wait; it will be fetched again."),
    "equivocation": Text(
        "同一来源为同一位置或修订签署了两份不同的内容，两份均已留证，均不采用。",
        "Its origin signed two things for one place or revision; both are kept as proof and neither counts.",
    ),
    "audit-cut": Text(
        "该节点的审计日志比本节点见证过的短，或末尾不同：有人删改了记录，或节点从旧备份恢复。请电话核实。",
        "The node's audit trail is shorter than this node had witnessed, or ends otherwise: somebody cut it, or the "
        "node was restored from an old backup. Ask by telephone.",
    ),
    "proof-consistency": Text(
        "该节点的日志不是从本节点见证过的接续而来：被删改或分叉，或节点从旧备份恢复。请电话核实。",
        "The node's log does not go on from the one this node had witnessed: cut or forked, or the node was restored "
        "from an old backup. Ask by telephone.",
    ),
    # inner steps
    "kind-unknown": Text("不认识的条目类型，请升级本节点后重试。", "Unknown kind; update this node and try again."),
    "schema-unknown": Text("不认识的格式，请升级本节点后重试。", "Unknown schema; update this node and try again."),
    "schema-digest": Text("格式定义与本节点的不同，请核对版本。", "The schema differs from ours; compare versions."),
    "schema-kind": Text("条目类型与格式不符。", "The schema does not belong to this kind."),
    "schema-invalid": Text(
        "内容不符合格式，请来源节点更正。", "The content breaks its schema; its origin should correct it."
    ),
    "grant-missing": Text(
        "名录的授权不包括：该节点不能向这些对象发布此类条目，或本节点无权读取。授权改变后自动重新检查。",
        "Not granted by the member list: its origin may not say this to these readers, or it is not for us to read. "
        "It is judged anew when the grants change.",
    ),
    "schema-unlisted": Text("名录未列出此格式版本。", "The member list does not name this version of the schema."),
    "schema-retired": Text(
        "此格式版本已停用，请来源节点升级后重新发布。",
        "This version of the schema is retired; its origin should update and publish anew.",
    ),
    "schema-refused": Text(
        "随名录来的格式定义不合规定，请告知管理员。",
        "The schema that came with the list is not of the allowed form; tell the officers.",
    ),
    "sealed-to-others": Text(
        "条目没有密封给本节点的密钥：在本节点加入之前，或密钥已丢失。可请来源节点重新密封。",
        "Not sealed to a key of this node: sealed before it joined, or the key is lost. Its origin can seal it again.",
    ),
    "sealed-epoch-unknown": Text(
        "缺少该组当时的密钥；组密钥到达后自动处理。",
        "The group's key of that time is not here; it is read once that comes.",
    ),
    "sealed-broken": Text(
        "密封的内容无法打开，请来源节点重新发布。", "What was sealed cannot be opened; ask for it anew."
    ),
    "sealed-shape": Text("密封的内容格式不对。", "What was sealed is not the inside of a record."),
    "commitment-mismatch": Text(
        "密封的内容与承诺的摘要不符：来源节点可能给了不同读者不同的内容。请保留证据并电话核实。",
        "What was sealed is not what its header commits to: its origin may have sealed different contents for "
        "different readers. Keep it and ask by telephone.",
    ),
    "group-key-mismatch": Text("组密钥与条目不符。", "The group key is not of its record."),
    "revision-skips": Text("修订号不连续。", "The revision does not follow the one held."),
    "supersedes-mismatch": Text("未指明所替代的条目。", "It names another record as superseded."),
    "content-unstorable": Text("内容中有无法保存的值。", "It holds a value that cannot be stored."),
    "peer-key-changed": Text(
        "密钥与已核对的指纹不同，请电话核实。", "The key is not the pinned one; ask by telephone."
    ),
    "member-list-double": Text("成员名录中有重复成员。", "A member stands twice in the list."),
    "member-list-key-shared": Text("成员名录中两个成员共用一把密钥。", "Two members share one key in the list."),
    "time-shape": Text("时间写法不对。", "A time is misspelt."),
    "key-revoked": Text("该密钥已作废。", "This key was revoked."),
    "key-retired": Text("该密钥已更换。", "This key was replaced by another."),
    # the member list
    "list-unreachable": Text(
        "取不到成员名录，会自动重试。", "The member list cannot be fetched; it will be tried again."
    ),
    "list-expired": Text(
        "成员名录已过期：新条目等候更新。请联系管理员。",
        "The member list has expired: what is new waits for the next one. Ask an officer.",
    ),
    "list-frozen": Text(
        "有成员持有更新的名录，而汇总节点没有提供。请电话核实。",
        "A member holds a newer list than the hub serves. Ask an officer by telephone.",
    ),
    "list-rolled-back": Text("提供的名录比本节点已有的旧，已拒绝。", "The list served is older than ours; refused."),
    "list-mixed": Text("名录各文件不属于同一版，已拒绝。", "The list's files are not of one edition; refused."),
    "list-shape": Text("名录文件格式不对，已拒绝。", "A file of the list is not acceptable; refused."),
    "list-threshold": Text("名录签名不足，已拒绝。", "The list lacks signatures; refused."),
    "root-threshold": Text("根文件签名不足，已拒绝。", "Too few officers have signed the root; refused."),
    "list-key-twice": Text("同一密钥可能被当作两把，已拒绝。", "One key could count as two; refused."),
    "list-too-large": Text("名录文件过大，已拒绝。", "A file of the list is too large; refused."),
    "list-federation": Text("这是另一联合体的名录，已拒绝。", "This is another federation's list; refused."),
    "list-officers": Text("名录中的管理员与签名者不符，已拒绝。", "The officers named do not sign the list; refused."),
    "list-hub-key": Text("名录的签发密钥不是汇总节点的。", "The list is signed with a key that is not the hub's."),
    "hub-key-not-listed": Text(
        "名录中没有本节点的密钥，不能签发。", "The list names another key for the hub; this node cannot sign it."
    ),
    "list-versions-used-up": Text(
        "名录版本号已用尽，须由管理员更换汇总节点密钥。", "No version is left; officers must replace the hub's key."
    ),
    # what a release or a review says
    "catalogue-unknown": Text("指标目录不同，请升级本节点后重试。", "Another catalogue; update this node."),
    "release-subject": Text("条目主题与发布内容不符。", "The record's subject is not what the release holds."),
    "release-audience": Text("数据流与交换流的对象不符。", "The dataflow is not for this stream's readers."),
    "indicator-unknown": Text("发布中有不认识的指标。", "The release has an indicator that is unknown here."),
    "dataflow-mismatch": Text("指标不属于该数据流。", "An indicator does not belong to this dataflow."),
    "table-not-released": Text("指标不按这些维度发布。", "An indicator is not released by these dimensions."),
    "code-unknown": Text("维度代码不在代码表中。", "A code is not in its dimension's code list."),
    "period-not-released": Text("指标不按此频度发布。", "An indicator is not released at this frequency."),
    "observation-duplicate": Text("同一观测值出现两次。", "An observation stands there twice."),
    "value-kind": Text("值的写法与指标不符。", "A value is not of its indicator's kind."),
    "value-range": Text("值超出指标的范围。", "A value is out of its indicator's range."),
    "cell-too-small": Text(
        "公布的单元格人数少于下限。请来源节点检查隐私关口并更正。",
        "A published cell counts too few persons; its origin should look at its gate and correct it.",
    ),
    "review-mismatch": Text("审核意见与条目不符。", "The review is not of a release of this node."),
    # conversations
    "peer-unreachable": Text("连不上对端，会自动重试。", "The peer cannot be reached; it will be tried again."),
    "peer-timeout": Text("对端没有及时答复，会自动重试。", "The peer was too slow; it will be tried again."),
    "peer-answer-not-json": Text(
        "对端返回的不是 JSON（可能是登录页）。", "The peer's answer is not JSON (perhaps a sign-in page)."
    ),
    "peer-answer-too-large": Text("对端的答复过大，已中断。", "The peer's answer is too large; it was cut off."),
    "peer-redirect": Text("对端要求转到别处，请核对地址。", "The peer redirects elsewhere; check its address."),
    "peer-error-status": Text("对端出错，会自动重试。", "The peer failed; it will be tried again."),
    "clock-skew": Text("双方时钟相差过大，请校准时间。", "The clocks differ too much; set them."),
    "request-outdated": Text(
        "请求早于对方可核对的时间，会自动重试；持续出现请核对双方时钟。",
        "The request is older than the other node can check; tried again by itself. If it stays, compare the clocks.",
    ),
    "request-replayed": Text("请求已使用过，会自动重试。", "The request was used before; it will be tried again."),
    "answer-mismatch": Text("应答与请求不符。", "The answer belongs to another request."),
    "enclosed-mismatch": Text("所附条目与清单不符。", "What is enclosed is not what was signed for."),
    "stream-reopened": Text(
        "来源节点从备份恢复后重新开始了此交换流，已不知道这个条目。",
        "Its origin was restored, began this stream anew and no longer knows this record.",
    ),
    "nothing-recovering": Text("没有等待恢复的交换流。", "No stream waits to be recovered."),
    "reopening-place": Text("此处不能重新开流。", "A stream does not begin anew at this place."),
    "node-copied": Text(
        "数据库与本机记录的已签名条目不符：本节点可能被复制并在两处运行",
        "the database holds another record than this machine signed: a copy of this node runs elsewhere",
    ),
    "stream-recovering": Text(
        "本节点从备份恢复，正在取回自己签名过的条目。", "This node was restored and is getting back what it signed."
    ),
    "mailbox-full": Text(
        "信箱已满，对方取走后会自动再送。", "The share of the hub's mailbox is full; it goes on by itself."
    ),
    "mailbox-expired": Text(
        "对方三个月没有取走，会自动再送；请联系对方。",
        "It was not fetched for three months and is sent again; ask the recipient.",
    ),
    "undelivered-direct": Text("对方还没有回执，会继续重试。", "There is no receipt yet; it goes on being sent."),
    "undelivered-relay": Text(
        "在汇总节点信箱中等待对方取走。", "It waits in the hub's mailbox for its recipient to fetch it."
    ),
    "undelivered-file": Text(
        "须用介质送达：gonghui bundle export。", "It has to go by stick: `gonghui bundle export`."
    ),
    "bundle-truncated": Text("文件不完整，请重新拷贝。", "The file is cut off; copy it again."),
    "cursor-stuck": Text("对端的页码不前进。", "The peer's cursor does not move on."),
}


def explain(code: str) -> Text:
    """Return what the code means and what to do; unknown codes explain themselves by name."""
    if code.startswith("json-"):
        return _JSON
    return _TEXTS.get(code) or Text(f"代码 {code}。", f"Code {code}.")


def is_explained(code: str) -> bool:
    """Tell whether there is a text for this code."""
    return code.startswith("json-") or code in _TEXTS

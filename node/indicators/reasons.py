"""Why a figure has no value, for people: reason codes (`no-source:education`) to sentences in both languages."""

from collections.abc import Mapping

from federation.errors import Text
from node.intake.headers import field_names, label_of

_SOURCES: Mapping[str, Text] = {
    "staff": Text("职工名册", "the staff roster"),
    "membership": Text("会员信息", "who is a member"),
    "exchange": Text("会籍转接记录", "transfers through the exchange"),
    "phone": Text("手机号", "phone numbers, which are not kept"),
    "union_unit": Text("工会组织信息", "data about the union's bodies"),
    "cadre": Text("工会干部信息", "data about union officers"),
    "delegate": Text("教代会代表信息", "data about delegates"),
    "activity": Text("活动记录", "records of activities"),
    "participation": Text("活动参与记录", "records of who took part"),
    "facility": Text("阵地设施信息", "data about facilities"),
    "service_request": Text("服务诉求记录", "records of requests"),
    "complaint": Text("意见投诉记录", "records of complaints"),
    "policy": Text("政策与公开事项", "policies and disclosures"),
    "policy_delivery": Text("政策触达记录", "records of policies shown"),
    "fund_ledger": Text("工会经费账目", "the union's ledger"),
    "fee": Text("会费缴纳记录", "records of fees"),
    "relief_case": Text("帮扶慰问记录", "records of relief"),
    "mutual_aid": Text("互助保障记录", "records of mutual aid"),
    "training": Text("培训记录", "records of training"),
}
_SENTENCES: Mapping[str, Text] = {
    "no-source": Text("尚无数据来源：{zh}", "nobody has told yet: {en}"),
    "before-first": Text("期末早于最早的数据：{zh}", "the period ends before the first data: {en}"),
    "not-told-since": Text("期初之后没有新的数据：{zh}", "nothing was told since the period began: {en}"),
    "no-baseline": Text(
        "不知道期初有哪些会员：需要期初之前的完整名册，或每位会员的入会时间",
        "unknown who was a member when the period began: needs an earlier full roster, or everybody's date of entry",
    ),
    "not-entered": Text("本版本还不能填报", "cannot be entered in this version yet"),
    "not-due": Text("本期不填报 {zh}", "{en} is not reported for such a period"),
    "nobody": Text("分母为零，不适用", "there is nobody to divide by"),
    "too-small": Text("人数过少", "too few persons"),
    "protects": Text("保护相邻单元格", "protects another cell"),
    "noise-narrows": Text("加噪后的数字合在一起仍会透露", "figures with noise would tell it together"),
}


def source_name(source: str) -> Text:
    """Return what a source of figures is called for people."""
    if source in field_names():
        return Text(label_of(source), label_of(source, "en"))
    return _SOURCES.get(source, Text(source, source))


def explain_reason(reason: str) -> Text:
    """Return the sentence of a reason code; "" for none."""
    code, _, about = reason.partition(":")
    sentence = _SENTENCES.get(code, Text(reason, reason))
    name = source_name(about)
    return Text(sentence.zh.format(zh=name.zh), sentence.en.format(en=name.en))

"""What a draft would change, told to the officer who is asked to sign it, in both languages.

Computed on the officer's own machine from the list it last verified and from what the draft's bytes would make of it
(`drafts.read_outcome`). A draft says nothing about itself. Every difference of the two is told: each field of a member
has its words here, a document that this program cannot explain is told by its digests and its lines. Grants are told as
sentences, each of them: what they open must not disappear behind a count.
"""

import difflib
import json
import sys
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from federation.documents import format_time, sha256_hex
from federation.drafts import Outcome
from federation.errors import Text, TrustError
from federation.grants import ALL, HUB, NODES, TOTALS, read_grants
from federation.holds import is_ended_earlier
from federation.membership import MemberList
from federation.metadata import HOLD, ROOT, TARGETS
from federation.roll import GRANTS, Hold, KeyEntry, MemberEntry, Officer, Roll
from federation.spoken import spoken

MAX_LINES = 40  # of one document other than the grants; more are counted, not shown

# Every field of a member but its id and its keys, which are told one by one.
FIELDS: Mapping[str, tuple[str, str]] = {
    "name": ("名称", "name"),
    "code": ("院校代码", "school code"),
    "url": ("地址", "address"),
    "status": ("状态", "status"),
    "roles": ("角色", "roles"),
    "transport": ("传输方式", "transport"),
    "groups": ("组", "groups"),
    "sealing_key": ("加密公钥", "sealing key"),
    "parent": ("上级", "parent"),
    "merged_into": ("并入", "merged into"),
    "extra": ("其他", "other"),
}
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
_LEVELS = {NODES: ("各校数据", "each node's figures"), TOTALS: ("汇总数据", "totals alone")}
_SELECTORS = {ALL: Text("全体成员", "every member"), HUB: Text("汇总节点", "the hub")}
_KEY_STATES = {"active": "启用", "retired": "停用", "revoked": "作废"}


@dataclass(frozen=True)
class Difference:
    """One change. `what` is stable (`member-added`, `key-revoked`, ...), `subject` an id, a key id or a path."""

    what: str
    subject: str
    text: Text


def differences(held: MemberList | None, outcome: Outcome) -> tuple[Difference, ...]:
    """Return everything that would change, weightiest first; at a founding, everything there is."""
    old, new = (held.roll if held else None), outcome.roll
    return (
        *_federation(old, new),
        *_officers(old, new),
        *_members(old, new),
        *_holds(held.placed if held else (), outcome.holds, new),
        *_documents(old.documents if old else {}, new.documents),
        *_expiries(held, outcome),
    )


def _federation(old: Roll | None, new: Roll) -> Iterator[Difference]:
    if old is None:
        yield _told("federation-founded", new.federation, f"建立联合体：{new.name}", f"Federation founded: {new.name}")
    elif old.name != new.name:
        zh, en = f"联合体改名：{old.name} → {new.name}", f"Federation renamed: {old.name} -> {new.name}"
        yield _told("federation-renamed", new.federation, zh, en)
    if old is None or old.hub != new.hub:
        name = new.members[new.hub].name
        yield _told("hub", new.hub, f"汇总节点为 {name}（{new.hub}）", f"The hub is {name} ({new.hub})")
    if old is None or old.hub_keyid != new.hub_keyid:
        key = _key(new.hub_keyid)
        yield _told(
            "hub-key", new.hub_keyid, f"每日签发名录的密钥为 {key}", f"The list is re-signed daily by key {key}"
        )
    if old is not None and old.extra != new.extra:
        yield from _lines("index-other", "index.json", _json(old.extra), _json(new.extra))


def _officers(old: Roll | None, new: Roll) -> Iterator[Difference]:
    before = {officer.keyid: officer for officer in (old.officers if old else ())}
    after = {officer.keyid: officer for officer in new.officers}
    for keyid in sorted(before.keys() | after.keys()):
        was, now = before.get(keyid), after.get(keyid)
        if was == now:
            continue
        yield _officer(keyid, was, now)
    if old is None or old.threshold != new.threshold or before.keys() != after.keys():
        zh = f"今后每次变更须 {len(after)} 位签署人中的 {new.threshold} 位签名"
        en = f"From now on {new.threshold} of {len(after)} officers must sign each change"
        yield _told("threshold", str(new.threshold), zh, en)


def _officer(keyid: str, was: Officer | None, now: Officer | None) -> Difference:
    if was is None and now is not None:
        zh, en = f"新增签署人 {now.name}，密钥 {_key(keyid)}", f"Officer added: {now.name}, key {_key(keyid)}"
        return _told("officer-added", keyid, zh, en)
    if now is None and was is not None:
        return _told("officer-removed", keyid, f"移除签署人 {was.name}", f"Officer removed: {was.name}")
    names = (was.name if was else "", now.name if now else "")
    return _told("officer-renamed", keyid, f"签署人改名：{names[0]} → {names[1]}", f"Officer: {names[0]} -> {names[1]}")


def _members(old: Roll | None, new: Roll) -> Iterator[Difference]:
    before: Mapping[str, MemberEntry] = old.members if old else {}
    for identity in sorted(before.keys() | new.members.keys()):
        was, now = before.get(identity), new.members.get(identity)
        if now is None and was is not None:
            zh, en = f"从名录中删除 {was.name}（{identity}）", f"Taken out of the list: {was.name} ({identity})"
            yield _told("member-removed", identity, zh, en)
        elif was is None and now is not None:
            zh, en = f"新增成员 {now.name}（{identity}）", f"New member {now.name} ({identity})"
            yield _told("member-added", identity, zh, en)
            yield from _fields(MemberEntry(identity, now.name, (), transport="", status=""), now)
            yield from _keys(now, (), now.keys)
        elif was is not None and now is not None and was != now:
            yield from _fields(was, now)
            yield from _keys(now, was.keys, now.keys)


def _fields(was: MemberEntry, now: MemberEntry) -> Iterator[Difference]:
    for field in fields(MemberEntry):
        if field.name in {"id", "keys"}:
            continue
        before, after = _shown(getattr(was, field.name)), _shown(getattr(now, field.name))
        if before != after:
            zh, en = FIELDS[field.name]
            yield _told(
                f"member-{field.name}",
                now.id,
                f"{was.name}（{now.id}）{zh}：{before or '（空）'} → {after or '（空）'}",
                f"{was.name} ({now.id}) {en}: {before or '(none)'} -> {after or '(none)'}",
            )


def _keys(member: MemberEntry, before: tuple[KeyEntry, ...], after: tuple[KeyEntry, ...]) -> Iterator[Difference]:
    old, new = {key.keyid: key for key in before}, {key.keyid: key for key in after}
    named = f"{member.name}（{member.id}）", f"{member.name} ({member.id})"
    for keyid in dict.fromkeys((*new, *old)):
        was, now = old.get(keyid), new.get(keyid)
        if was == now:
            continue
        if now is None:
            zh, en = f"{named[0]}删除密钥 {_key(keyid)}", f"{named[1]} key removed: {_key(keyid)}"
            yield _told("key-removed", keyid, zh, en)
            continue
        day = now.revoked_at or now.retired_at
        since, since_en = (f"，自 {format_time(day)} 起", f" as of {format_time(day)}") if day else ("", "")
        yield _told(
            f"key-{now.status}",
            keyid,
            f"{named[0]}密钥{_KEY_STATES[now.status]}{since}：{_key(keyid)}",
            f"{named[1]} key {now.status}{since_en}: {_key(keyid)}",
        )
    if list(old) != [keyid for keyid in new if keyid in old]:
        yield _told("key-order", member.id, f"{member.name} 密钥次序变化", f"{member.name} keys in another order")


def _holds(before: tuple[Hold, ...], after: tuple[Hold, ...], roll: Roll) -> Iterator[Difference]:
    names = {officer.keyid: officer.name for officer in roll.officers}
    names |= {member.id: f"{member.name}（{member.id}）" for member in roll.members.values()}
    ended = {one.member for hold in after for one in before if is_ended_earlier(one, hold)}
    for hold in after:
        if hold not in before and hold.member not in ended:
            until, officer = format_time(hold.until), names.get(hold.officer, hold.officer)
            member = names.get(hold.member, hold.member)
            zh = f"{officer} 临时暂停 {member} 至 {until}：{hold.reason or '未写理由'}"
            en = f"{officer} holds {member} until {until}: {hold.reason or 'no reason given'}"
            yield _told("hold-placed", hold.member, zh, en)
    kept = {hold.member for hold in after} - ended
    for hold in before:
        if hold.member not in kept:
            member = names.get(hold.member, hold.member)
            yield _told("hold-lifted", hold.member, f"解除对 {member} 的临时暂停", f"Hold on {member} lifted")


def _documents(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterator[Difference]:
    for path in sorted(before.keys() | after.keys()):
        was, now = before.get(path), after.get(path)
        if was == now:
            continue
        digests = [sha256_hex(data)[:16] if data is not None else "-" for data in (was, now)]
        zh, en = f"文件 {path}：{digests[0]} → {digests[1]}", f"Document {path}: {digests[0]} -> {digests[1]}"
        yield _told("document", path, zh, en)
        told = _grants(was, now) if path == GRANTS else None
        most = sys.maxsize if path == GRANTS else MAX_LINES
        yield from told or _lines("document-line", path, _pretty(was or b""), _pretty(now or b""), most)


def _grants(was: bytes | None, now: bytes | None) -> list[Difference] | None:
    """Tell each permission that comes or goes as a sentence, none left out; None where this program reads no grants."""
    try:
        before, after = (_permissions(data) for data in (was, now))
    except TrustError:
        return None
    return [
        *(_told("grant-given", GRANTS, f"　今后允许：{after[key].zh}", f"  from now on: {after[key].en}")
          for key in after if key not in before),
        *(_told("grant-taken", GRANTS, f"　不再允许：{before[key].zh}", f"  no longer: {before[key].en}")
          for key in before if key not in after),
    ]  # fmt: skip


def _permissions(data: bytes | None) -> dict[tuple[str, ...], Text]:
    """Return what grants allow: each reader of each dataflow, each speaker of each kind, each schema with its times."""
    if data is None:
        return {}
    grants, found = read_grants(data), dict[tuple[str, ...], Text]()
    for dataflow, levels in grants.readers.items():
        for level, selectors in levels.items():
            zh, en = _LEVELS[level]
            for who in sorted(selectors):
                name = _selector(who)
                found["read", dataflow, level, who] = Text(
                    f"{name.zh}读取 {dataflow} 的{zh}", f"{name.en} may read {en} of {dataflow}"
                )
    for kind, selectors in grants.speakers.items():
        for who in sorted(selectors):
            name = _selector(who)
            found["say", kind, who] = Text(f"{name.zh}签发 {kind} 类条目", f"{name.en} may sign records of kind {kind}")
    for kind, terms in grants.terms.items():
        for term in terms:
            start = format_time(term.required_from) if term.required_from else "—"
            end = format_time(term.until) if term.until else "—"
            found["schema", kind, term.schema, start, end] = Text(
                f"{kind} 用 {term.schema} 格式（必用自 {start}，采用至 {end}）",
                f"{kind} in schema {term.schema} (required from {start}, taken until {end})",
            )
    return found


def _selector(who: str) -> Text:
    return _SELECTORS.get(who) or Text(f"{who} ", who)


def _lines(what: str, path: str, before: str, after: str, most: int = MAX_LINES) -> Iterator[Difference]:
    changed = difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
    lines = [line for line in changed if not line.startswith(("---", "+++", "@@"))]
    for line in lines[:most]:
        yield _told(what, path, f"　{line}", f"  {line}")
    if len(lines) > most:
        rest = len(lines) - most
        yield _told(what, path, f"　另有 {rest} 行", f"  and {rest} more lines")


def _expiries(held: MemberList | None, outcome: Outcome) -> Iterator[Difference]:
    names = {ROOT: ("根文件", "Root"), TARGETS: ("名录", "The list")}
    for role, at in outcome.expiries.items():
        if role == HOLD or (held is not None and held.expiries.get(role) == at):
            continue
        zh, en = names[role]
        until = format_time(at)
        yield _told(f"{role}-valid-until", role, f"{zh}有效期至 {until}", f"{en} will be valid until {until}")


def _told(what: str, subject: str, zh: str, en: str) -> Difference:
    return Difference(what, subject, Text(_plain(zh), _plain(en)))


def _plain(text: str) -> str:
    """Write out what could hide or reorder text on a screen: control and format characters."""
    return "".join(f"\\u{ord(c):04x}" if unicodedata.category(c) in _HIDDEN else c for c in text)


def _key(keyid: str) -> str:
    return f"{keyid[:16]}… {spoken(keyid)}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return _json(value) if value else ""
    return "、".join(sorted(value)) if isinstance(value, tuple) else str(value)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(dict(value), ensure_ascii=False, sort_keys=True, indent=1)


def _pretty(data: bytes) -> str:
    try:
        return json.dumps(json.loads(data), ensure_ascii=False, sort_keys=True, indent=1)
    except ValueError:
        return data.decode(errors="replace")

"""`gonghui enrol`: a college asks to join, officers approve, and the rest of a member's life in the federation."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from federation import changes
from federation.drafts import lift_hold, place_hold
from federation.errors import Conflict, UsageError
from federation.keys import fingerprint
from federation.membership import MemberList
from federation.spoken import spoken
from node.cli.files import new_file
from node.cli.officers import (
    Anchor,
    CaFile,
    Hub,
    Json,
    ListFile,
    Officer,
    Out,
    Place,
    Yes,
    find_entry,
    read_file,
    run,
    run_change,
)
from node.cli.state import OUT, State, print_each, print_json
from node.clock import now
from node.exchange import desk, enrolling, rotation
from node.handlers import HANDLERS
from node.officer.work import gather

app = typer.Typer(no_args_is_help=True)
MemberOf = Annotated[str, typer.Argument(metavar="MEMBER", help="成员编号、名称或代码 / a member's id, name or code")]
KeyId = Annotated[str, typer.Argument(metavar="KEYID", help="密钥编号 / key id, 64 hex digits")]
RequestFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="申请文件 / where to write the request")
]


@app.command(epilog="Example: gonghui enrol request --anchor federation.anchor.json")
def request(
    context: typer.Context,
    anchor: Annotated[Path, typer.Option("--anchor", metavar="FILE", help="信任锚 / the federation's anchor")],
    fingerprint_: Annotated[
        str, typer.Option("--fingerprint", help="电话核对过的信任锚指纹 / the anchor's, compared: words or hex")
    ] = "",
    instead_of: Annotated[
        str,
        typer.Option(metavar="FEDERATION", help="重新建立：就此结束的旧联合体 / the one that ends with it"),
    ] = "",
    out: RequestFile = None,
    as_json: Json = False,
) -> None:
    """学院：凭信任锚申请加入联合体 / college: pin the anchor and ask to join; the same again changes nothing."""
    state: State = context.obj
    sent = enrolling.request_to_join(
        state.node, state.actor, read_file(anchor), HANDLERS, confirmed=fingerprint_, instead_of=instead_of
    )
    _tell_sent(state, [sent], out, "join-request.json", as_json=as_json)


@app.command(epilog="Example: gonghui enrol status --json")
def status(context: typer.Context, as_json: Json = False) -> None:
    """本节点在联合体中的状态；获准后做第一次同步 / how this node stands; once listed, its first round is run."""
    state: State = context.obj
    standings = [enrolling.standing(node, state.actor, HANDLERS) for node in state.places]
    turned = rotation.adopt_if_listed(state.node, state.actor)
    awaited = rotation.list_awaited(state.node, state.actor)
    if as_json:
        told = {"key_turned": turned, "key_awaits": [one.id for one in awaited]}
        print_each([_standing_json(found) | told for found in standings])
        return
    for found in standings:
        OUT.print(f"{found.federation.name}: {found.state}", markup=False, highlight=False)
        if found.needed:
            OUT.print(f"  签名 / signatures: {found.signed}/{found.needed}", markup=False, highlight=False)
        if found.problem:
            OUT.print(f"  {found.problem}", markup=False, highlight=False)
    for one in awaited:
        OUT.print(f"新密钥等待名录 / the next key waits for the list of: {one.name}", markup=False, highlight=False)
        if len(standings) > 1:  # one that is of no use any more need not hold it up
            OUT.print(f"  gonghui --federation {one.id} federation leave", markup=False, highlight=False)
    if turned:
        OUT.print("新密钥已启用，请重启服务 / the new key is in use; restart the node", markup=False)


def _standing_json(found: enrolling.Standing) -> dict[str, Any]:
    return {
        "federation": {"id": found.federation.id, "name": found.federation.name},
        "state": found.state,
        "signed": found.signed,
        "needed": found.needed,
        "members": found.members,
        "problem": found.problem,
        "first_round": found.first_round.state if found.first_round else "",
    }


@app.command(epilog="Example: gonghui enrol approve n-… --officer ./officer --hub https://hub.example.edu.cn")
def approve(
    context: typer.Context,
    names: Annotated[
        list[str], typer.Argument(metavar="REQUEST…", help="申请编号、文件或草稿 / ids, files or a draft")
    ],
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """管理员：核对变更并签署 / officer: look at what would change, and sign it."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run(context.obj, place, lambda held, at: gather(held, at, names, now()), names)


@app.command(epilog="Example: gonghui enrol take signed-draft.json")
def take(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="申请或草稿 / a request or a draft")],
    as_json: Json = False,
) -> None:
    """汇总节点：收下用文件送来的申请或草稿 / hub: take in a request or a signed draft that came as a file."""
    state: State = context.obj
    data = read_file(file)
    node = state.node
    told = desk.take_file(node, state.actor, data, HANDLERS)
    if as_json:
        print_json(told)
    else:
        OUT.print(str(told.get("state", "")), markup=False, highlight=False)


@app.command(epilog="Example: gonghui enrol drop n-…")
def drop(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="REQUEST", help="节点编号或申请编号 / id of the node or the request")],
    as_json: Json = False,
) -> None:
    """汇总节点：搁置无人批准的申请 / hub: put requests aside that nobody grants."""
    state: State = context.obj
    dropped = desk.drop_request(state.node, state.actor, name)
    if as_json:
        print_json({"dropped": dropped})
    else:
        OUT.print(f"已搁置 / put aside: {dropped}", markup=False, highlight=False)


@app.command(
    epilog="Example: gonghui enrol suspend 某某学院 --hold --officer ./officer --hub https://hub.example.edu.cn"
)
def suspend(
    context: typer.Context,
    member: MemberOf,
    officer: Officer,
    hold: Annotated[bool, typer.Option("--hold", help="一人暂停 14 天 / by one officer alone, for 14 days")] = False,
    reason: Annotated[str, typer.Option(help="理由 / reason")] = "",
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """停用成员 / suspend a member: by enough officers until resumed, or by one for 14 days."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    if not hold:
        run_change(context.obj, place, lambda held: [changes.suspend(find_entry(held, member).id)])
        return
    keyid = place.folder.officer.keyid
    run(
        context.obj,
        place,
        lambda held, _: (
            place_hold(_need(held), find_entry(held, member).id, keyid, now=now(), reason=reason),
            (),
        ),
    )


@app.command(epilog="Example: gonghui enrol resume 某某学院 --officer ./officer --hub https://hub.example.edu.cn")
def resume(
    context: typer.Context,
    member: MemberOf,
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """恢复成员，或解除一人暂停 / let a suspended or held member speak again."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)

    def make(held: MemberList | None, _: object) -> object:
        entry = find_entry(held, member)
        if entry.status == "active":
            return lift_hold(_need(held), entry.id, now=now()), ()
        from node.officer.work import propose_change

        return propose_change(held, [changes.resume(entry.id)], now()), ()

    run(context.obj, place, make)  # type: ignore[arg-type]


@app.command(epilog="Example: gonghui enrol leave 某某学院 --officer ./officer --hub https://hub.example.edu.cn")
def leave(
    context: typer.Context,
    member: MemberOf,
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """成员退出；其已签内容仍可核验 / let a member go; what it signed stays verifiable."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run_change(context.obj, place, lambda held: [changes.leave(find_entry(held, member).id)])


@app.command(
    epilog="Example: gonghui enrol rename 某某学院 某某大学 --officer ./officer --hub https://hub.example.edu.cn"
)
def rename(
    context: typer.Context,
    member: MemberOf,
    name: Annotated[str, typer.Argument(metavar="NAME", help="新名称 / the new name")],
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """学校更名；代码和编号不变 / give a school another name; its code and id stay."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run_change(context.obj, place, lambda held: [changes.rename(find_entry(held, member).id, name)])


@app.command(
    epilog="Example: gonghui enrol group 省教育工会 --add aggregator --officer ./officer --hub https://hub.example.edu.cn"
)
def group(
    context: typer.Context,
    member: MemberOf,
    officer: Officer,
    add: Annotated[list[str] | None, typer.Option("--add", metavar="GROUP", help="加入组 / groups to join")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="GROUP", help="退出组 / to leave")] = None,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """成员分组；aggregator 组的唯一成员是第二汇总方 / a member's groups; the one of `aggregator` is the second body."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)

    def regroup(held: MemberList | None) -> list[changes.Change]:
        entry = find_entry(held, member)
        groups = {*entry.groups, *(add or ())} - {*(remove or ())}
        return [changes.describe(entry.id, groups=tuple(sorted(groups)))]

    run_change(context.obj, place, regroup)


@app.command(epilog="Example: gonghui enrol merge 甲学院 乙大学 --officer ./officer --hub https://hub.example.edu.cn")
def merge(
    context: typer.Context,
    gone: MemberOf,
    into: Annotated[str, typer.Argument(metavar="INTO", help="并入哪个成员 / the member it goes into")],
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """两校合并 / merge one school into another: it leaves, and the list says where it went."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run_change(context.obj, place, lambda held: [changes.merge(find_entry(held, gone).id, find_entry(held, into).id)])


@app.command(epilog="Example: gonghui enrol retire 某某学院 3f2a… --officer ./officer --hub https://hub.example.edu.cn")
def retire(
    context: typer.Context,
    member: MemberOf,
    keyid: KeyId,
    officer: Officer,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """停用旧密钥；其已签内容仍有效 / end an old key's use; what it signed stays valid."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run_change(context.obj, place, lambda held: [changes.retire_key(find_entry(held, member).id, keyid)])


@app.command(
    epilog="Example: gonghui enrol revoke 某某学院 3f2a… --at 2027-03-01 --officer ./officer --hub https://hub.example.edu.cn"
)
def revoke(
    context: typer.Context,
    member: MemberOf,
    keyid: KeyId,
    officer: Officer,
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="自何时起 / since when, may lie in the past")],
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """自某时起作废密钥 / revoke a key as of a time; what it signed before stays valid where that is witnessed."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    since = _read_time(at)
    run_change(context.obj, place, lambda held: [changes.revoke_key(find_entry(held, member).id, keyid, since)])


@app.command(epilog="Example: gonghui enrol rotate")
def rotate(context: typer.Context, out: RequestFile = None, as_json: Json = False) -> None:
    """学院：申请换新密钥，两把并用至停用旧的 / college: ask for a new key; both speak until the old one rests."""
    state: State = context.obj
    sent = [rotation.request_rotation(node, state.actor) for node in state.places]
    _tell_sent(state, sent, out, "rotate-request.json", as_json=as_json)


@app.command(epilog="Example: gonghui enrol replace")
def replace(context: typer.Context, out: RequestFile = None, as_json: Json = False) -> None:
    """学院：密钥遗失或被盗后以新密钥申请 / college: ask for this node's key in place of a lost or stolen one."""
    state: State = context.obj
    sent = [rotation.request_replacement(node, state.actor) for node in state.places]
    _tell_sent(state, sent, out, "replace-request.json", as_json=as_json)


def _tell_sent(state: State, sent: list[enrolling.Sent], out: Path | None, name: str, *, as_json: bool) -> None:
    """Print what two people compare, and where each request went: to the hub, or into a file to be handed over."""
    told = []
    for one in sent:
        base = out or Path(name)
        beside = base if len(sent) == 1 else base.with_name(f"{base.stem}.{one.federation}{base.suffix}")
        told.append(_tell_one(state, one, beside if out else None, beside, as_json=as_json))
    if as_json:
        print_each(told)


def _tell_one(
    state: State, sent: enrolling.Sent, out: Path | None, otherwise: Path, *, as_json: bool
) -> dict[str, Any]:
    path = out or (None if sent.sent_to else otherwise)
    if path is not None:
        with new_file(path) as file:
            file.write(sent.file)
    told = {
        "id": state.node.node_id,
        "federation": sent.federation,
        "fingerprint": fingerprint(sent.key),
        "words": spoken(sent.key.keyid),
        "keyid": sent.key.keyid,
        "sent_to": sent.sent_to,
        "state": sent.state,
        "file": str(path) if path else "",
    }
    if as_json:
        return told
    OUT.print(f"本节点 / this node: {told['id']}", markup=False, highlight=False)
    OUT.print(f"指纹 / fingerprint: {told['fingerprint']}", markup=False, highlight=False)
    OUT.print(f"电话核对 / by telephone: {told['words']}", markup=False, highlight=False)
    if sent.sent_to:
        OUT.print(f"已送达 / sent to {sent.sent_to}: {sent.state}", markup=False, highlight=False)
    else:
        OUT.print(f"未能联系汇总节点，请转交 / the hub was not reached; hand over: {path}", markup=False)
    return told


def _need(held: MemberList | None) -> MemberList:
    if held is None:
        raise Conflict("federation-unsigned", "联合体还没有签名名录。", "The federation has no signed list yet.")
    return held


def _read_time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            "time-misspelt", "时间请写成 2027-03-01 或 2027-03-01T08:00+08:00。", "Write a time as 2027-03-01."
        ) from error
    return (at if at.tzinfo else at.astimezone()).astimezone(UTC)

"""`gonghui federation`: officers and their keys, the federation created, shown, renewed, handed over, founded anew."""

import os
from pathlib import Path
from typing import Annotated

import typer

from federation import changes
from federation.anchor import read_anchor
from federation.catalogue import load_catalogue
from federation.client import check_url
from federation.errors import Conflict, InputRefused, TrustError
from federation.grants import read_grants
from federation.keys import ED25519, fingerprint
from federation.listfile import write_list_file
from federation.membership import MemberList
from federation.officers import read_card
from federation.protection import PROTECTION, read_protection
from federation.roll import GRANTS
from federation.roll import Officer as OfficerEntry
from federation.spoken import spoken
from node.cli.files import new_file
from node.cli.officers import (
    PASSPHRASE,
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
    run_change,
)
from node.cli.state import OUT, State, print_json
from node.exchange import enrolling, federating
from node.officer.folder import make_officer
from node.stream.memberlist import ANCHOR, load_list_files, open_held
from node.stream.models import ListDraft
from node.stream.service import get_federation

app = typer.Typer(no_args_is_help=True)


@app.command(epilog="Example: gonghui federation officer ./officer --name 王主席")
def officer(
    context: typer.Context,  # noqa: ARG001
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="管理员目录，放在离线介质上 / folder, kept off line")],
    name: Annotated[str, typer.Option(help="姓名或职务 / name or office")],
    protect: Annotated[bool, typer.Option("--protect", help="询问口令 / ask for a passphrase")] = False,
    algorithm: Annotated[str, typer.Option("--key-algorithm", help="密钥算法 / algorithm")] = ED25519,
    as_json: Json = False,
) -> None:
    """管理员：生成签名密钥和公钥卡 / officer: make a signing key, off line, and the card that others get.

    The passphrase is asked for, or taken from GONGHUI_OFFICER_PASSPHRASE; it is never part of a command line.
    """
    passphrase = os.environ.get(PASSPHRASE, "")
    if protect and not passphrase:
        passphrase = typer.prompt("口令 / passphrase", hide_input=True, confirmation_prompt=True, err=True)
    made = make_officer(folder, name, passphrase, algorithm)
    key = made.officer.key
    told = {
        "name": name,
        "card": str(made.path / "officer.json"),
        "keyid": key.keyid,
        "fingerprint": fingerprint(key),
        "words": spoken(key.keyid),
    }
    if as_json:
        print_json(told)
        return
    OUT.print(f"公钥卡 / card: {told['card']}", markup=False, highlight=False)
    OUT.print(f"指纹 / fingerprint: {told['fingerprint']}", markup=False, highlight=False)
    OUT.print(f"电话核对 / by telephone: {told['words']}", markup=False, highlight=False)


@app.command(epilog="Example: gonghui federation create --card wang.json --card li.json --card zhao.json --threshold 2")
def create(
    context: typer.Context,
    card: Annotated[list[Path], typer.Option("--card", metavar="FILE", help="管理员公钥卡 / officers' cards")],
    threshold: Annotated[int, typer.Option(min=1, help="每次变更须几人签名 / signatures asked for")],
    name: Annotated[str, typer.Option(help="联合体名称 / the federation's name")] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="写出草稿 / write the draft")] = None,
    as_json: Json = False,
) -> None:
    """汇总节点：由管理员公钥卡建立联合体，待其签署 / hub: create the federation; its officers sign the draft."""
    state: State = context.obj
    row = federating.create_federation(
        state.node, state.actor, [read_file(path) for path in card], threshold, name=name
    )
    _tell_draft(row, out, as_json=as_json)


@app.command(epilog="Example: gonghui federation refound --card wang.json --card li.json --threshold 2")
def refound(
    context: typer.Context,
    card: Annotated[list[Path], typer.Option("--card", metavar="FILE", help="新管理员公钥卡 / new officers' cards")],
    threshold: Annotated[int, typer.Option(min=1, help="每次变更须几人签名 / signatures asked for")],
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="写出草稿 / write the draft")] = None,
    as_json: Json = False,
) -> None:
    """管理员不足时重新建立联合体：新编号、新信任锚 / found anew where too few officers are left: new id, new anchor.

    This node becomes the hub. Every college confirms it: `gonghui enrol request --anchor --fingerprint --instead-of`.
    """
    state: State = context.obj
    row = federating.refound_federation(state.node, state.actor, [read_file(path) for path in card], threshold)
    _tell_draft(row, out, as_json=as_json)


@app.command(epilog="Example: gonghui federation anchor --out federation.anchor.json")
def anchor(
    context: typer.Context,
    url: Annotated[list[str] | None, typer.Option("--url", help="学院访问的地址 / as colleges reach the hub")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="写入的新文件 / new file to write")] = None,
    as_json: Json = False,
) -> None:
    """导出信任锚：学院凭此一个文件加入 / write the anchor: the one file from which a college joins."""
    state: State = context.obj
    _ = state.actor
    data = federating.read_anchor_file(state.node, url or ())
    if out is not None:
        with new_file(out) as file:
            file.write(data)
    found = read_anchor(data)
    told = {
        "federation": found.federation,
        "name": found.name,
        "hub": found.hub,
        "urls": list(found.urls),
        "fingerprint": found.fingerprint,
        "words": spoken(found.fingerprint),
        "file": str(out) if out else "",
    }
    if as_json:
        print_json(told)
        return
    OUT.print(f"{found.name}  {found.federation}", markup=False, highlight=False)
    OUT.print(f"信任锚指纹 / the anchor's fingerprint: {found.fingerprint}", markup=False, highlight=False)
    OUT.print(f"电话核对 / by telephone: {told['words']}", markup=False, highlight=False)


@app.command(epilog="Example: gonghui federation show --json")
def show(context: typer.Context, as_json: Json = False) -> None:
    """显示本节点所持的名录 / the list this node holds: versions, expiry, officers, members."""
    state: State = context.obj
    node = state.node
    _ = state.actor
    with node.database.read() as session:
        federation = get_federation(session, node)
        held = open_held(session, federation.id, node.clock())
    if held is None:
        raise Conflict("federation-unsigned", "本节点还没有签名名录。", "This node holds no signed list yet.")
    documents = sorted(held.roll.documents)
    told = {
        "federation": held.federation,
        "name": held.roll.name,
        "hub": held.roll.hub,
        "versions": dict(held.versions),
        "expires_at": {role: at.isoformat() for role, at in held.expiries.items()},
        "ageing": list(held.ageing(node.clock())),
        "threshold": held.roll.threshold,
        "documents": documents,
        "officers": [{"name": item.name, "keyid": item.keyid} for item in held.roll.officers],
        "members": [
            {"id": item.id, "name": item.name, "code": item.code, "status": held.status_of(item.id, node.clock())}
            for item in held.members.values()
        ],
    }
    if as_json:
        print_json(told)
        return
    OUT.print(f"{held.roll.name}  {held.federation}", markup=False, highlight=False)
    for role, at in held.expiries.items():
        OUT.print(f"  {role} {held.versions[role]}: {at:%Y-%m-%d}", markup=False, highlight=False)
    for item in held.roll.officers:
        OUT.print(f"  {item.name}: {fingerprint(item.key)}", markup=False, highlight=False)
    OUT.print(f"  文件 / documents: {', '.join(documents)}", markup=False, highlight=False)


@app.command(epilog="Example: gonghui --federation 市总工会 federation leave --yes")
def leave(context: typer.Context, yes: Yes = False, as_json: Json = False) -> None:
    """本节点不再参加某个联合体；已签内容仍可核验 / take no more part in one; what was said there stays verifiable."""
    state: State = context.obj
    with state.node.database.read() as session:
        name = get_federation(session, state.node).name
    if not yes:
        typer.confirm(f"离开“{name}”？/ leave “{name}”?", abort=True, err=True)
    left = enrolling.leave_federation(state.node, state.actor)
    if as_json:
        print_json({"federation": left.id, "name": left.name})
    else:
        OUT.print(f"已离开 / left: {left.name}", markup=False, highlight=False)


@app.command(epilog="Example: gonghui federation export --out list.json")
def export(
    context: typer.Context, out: Annotated[Path, typer.Option("--out", metavar="FILE", help="写入的新文件 / new file")]
) -> None:
    """把名录写成一个文件，供离线管理员使用 / write the list into one file, for officers who work off line."""
    state: State = context.obj
    _ = state.actor
    with state.node.database.read() as session:
        files = load_list_files(session, get_federation(session, state.node).id)
    with new_file(out) as file:
        file.write(write_list_file(files))
    OUT.print(f"{out}: {len(files)}（含 / with {ANCHOR}）", markup=False, highlight=False)


@app.command(epilog="Example: gonghui federation renew --officer ./officer --hub https://hub.example.edu.cn")
def renew(
    context: typer.Context,
    officer: Officer,
    root: Annotated[bool, typer.Option("--root", help="根文件也重新签署 / root too")] = False,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """管理员：每学期重新签署名录 / officer: sign the list anew, once a term; it lives 200 days, root three years."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    run_change(context.obj, place, lambda _: [], renew_root=root)


@app.command(
    "officers", epilog="Example: gonghui federation officers --add zhou.json --remove 王主席 --officer ./officer"
)
def officers(
    context: typer.Context,
    officer: Officer,
    add: Annotated[list[Path] | None, typer.Option("--add", metavar="FILE", help="新管理员的卡 / a new card")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="姓名或密钥编号 / name or key id")] = None,
    threshold: Annotated[int, typer.Option(min=0, help="须几人签名；0 不变 / signatures; 0: as before")] = 0,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """管理员增减：须原管理员和新管理员都达到人数 / officers come and go: enough of the old and of the new must sign."""
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)

    def change(held: MemberList | None) -> list[changes.Change]:
        found = [changes.add_officer(read_card(read_file(path))) for path in add or ()]
        found += [changes.remove_officer(_find_officer(held, text).keyid) for text in remove or ()]
        return found + ([changes.set_threshold(threshold)] if threshold else [])

    run_change(context.obj, place, change)


@app.command(
    "hub", epilog="Example: gonghui federation hub 新汇总节点 --officer ./officer --hub https://new.example.edu.cn"
)
def hand_over(
    context: typer.Context,
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="接任的成员 / the member that takes over")],
    officer: Officer,
    url: Annotated[str, typer.Option("--url", help="各校访问新节点的地址 / as colleges reach the new hub")] = "",
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """汇总节点移交；--hub 给新节点地址，旧机器丢失也可 / hand the hub over; --hub is the new one's address.

    Colleges come to know it from any member that they reach, from an unchanged host name, or from the new hub's
    `gonghui federation anchor` file: `gonghui enrol request --anchor FILE`.
    """
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)

    def change(held: MemberList | None) -> list[changes.Change]:
        entry = find_entry(held, member)
        address = url or entry.url or hub  # one that let nothing in before is listed without
        reached = [changes.describe(entry.id, url=check_url(address))] if address else []
        return [*reached, changes.hand_over(entry.id, entry.active_keys[0].keyid)]

    run_change(context.obj, place, change)


@app.command("document", epilog="Example: gonghui federation document protection.json --officer ./officer")
def document(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="文件，名录中同名 / listed under its own name")],
    officer: Officer,
    remove: Annotated[bool, typer.Option("--remove", help="从名录中去掉 / take it out of the list")] = False,
    hub: Hub = "",
    list_file: ListFile = None,
    out: Out = None,
    anchor: Anchor = None,
    ca_file: CaFile = "",
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """管理员：随名录签署一个文件（grants.json、protection.json）/ officer: sign a document with the list.

    protection.json says by which noise which dataflow is protected, grants.json who may read and say what.
    """
    place = Place(officer, hub, list_file, out, anchor, ca_file, yes, as_json)
    data = b"" if remove else read_file(file)
    if not remove:
        _check_document(file.name, data)
    run_change(context.obj, place, lambda _: [changes.set_document(file.name, data)])


def _check_document(name: str, data: bytes) -> None:
    """Refuse what no node could read."""
    try:
        if name == PROTECTION:
            read_protection(data, load_catalogue())
        elif name == GRANTS:
            read_grants(data)
    except TrustError as error:
        raise InputRefused(error.code, error.text.zh, error.text.en, **error.params) from error


def _find_officer(held: MemberList | None, text: str) -> OfficerEntry:
    found = [item for item in (held.roll.officers if held else ()) if text in {item.name, item.keyid}]
    if len(found) != 1:
        raise InputRefused("officer-unknown", "没有这位管理员（或不唯一）。", "No such officer, or more than one.")
    return found[0]


def _tell_draft(row: ListDraft, out: Path | None, *, as_json: bool) -> None:
    if out is not None:
        with new_file(out) as file:
            file.write(row.file)
    told = {"draft": row.digest, "state": row.state, "needed": row.needed, "file": str(out) if out else ""}
    if as_json:
        print_json(told)
        return
    OUT.print(f"草稿 / draft: {row.digest}", markup=False, highlight=False)
    OUT.print(
        f"请 {row.needed} 位管理员各自签署 / {row.needed} officers sign it, each at their own machine:\n"
        f"  gonghui enrol approve {row.digest} --officer DIR --hub URL",
        markup=False,
        highlight=False,
    )

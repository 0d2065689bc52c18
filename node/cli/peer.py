"""`gonghui peer`: who the others are; `key` and `add` join a hub of an earlier release, by fingerprint."""

from pathlib import Path
from typing import Annotated

import typer

from federation.keys import fingerprint
from node.cli.files import new_file
from node.cli.state import OUT, State, print_json, print_table
from node.exchange import joining, membership, status
from node.handlers import HANDLERS

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]
PeerId = Annotated[str, typer.Argument(metavar="ID", help="节点编号 n-… / node id")]


@app.command(epilog="Example: gonghui peer key --out college.key.json")
def key(
    context: typer.Context,
    out: Annotated[Path | None, typer.Option(help="写入的新文件 / new file to write")] = None,
    as_json: Json = False,
) -> None:
    """导出本节点的公钥文件，交给汇总节点登记 / write this node's public-key file for the hub to enrol."""
    state: State = context.obj
    data = membership.own_key_file(state.node, state.actor)
    if out is not None:
        with new_file(out) as file:
            file.write(data)
    told = {
        "id": state.node.node_id,
        "name": state.node.settings.node.name,
        "fingerprint": fingerprint(state.node.signer.public_key),
        "keyid": state.node.signer.public_key.keyid,
        "file": str(out) if out else "",
    }
    if as_json:
        print_json(told)
    else:
        OUT.print(f"{told['name']}  {told['id']}", markup=False, highlight=False)
        OUT.print(f"指纹 / fingerprint: {told['fingerprint']}", markup=False, highlight=False)
        if out is None:
            OUT.print(data.decode(), markup=False, highlight=False)


@app.command(epilog='Example: gonghui peer add https://hub.example.edu.cn --fingerprint "ab12 cd34 …"')
def add(
    context: typer.Context,
    url: Annotated[str, typer.Argument(metavar="URL", help="汇总节点地址 / address of the hub")],
    fingerprint_: Annotated[str, typer.Option("--fingerprint", help="电话核对过的指纹 / fingerprint, compared")],
    as_json: Json = False,
) -> None:
    """核对指纹后加入联合体并取得成员名录 / pin the hub, join its federation, take its member list."""
    state: State = context.obj
    joined = joining.add_hub(state.node, state.actor, url, fingerprint_, HANDLERS)
    members = status.list_members(state.node.within(joined.federation.id), state.actor)
    first = joined.first_round
    if as_json:
        print_json(
            {
                "federation": {"id": joined.federation.id, "name": joined.federation.name},
                "hub": {"id": joined.hub.id, "name": joined.hub.name, "url": joined.hub.url},
                "members": [{"id": member["id"], "name": member["name"]} for member in members],
                "first_round": first.state if first else "",
            }
        )
    else:
        OUT.print(
            f"已加入 / joined: {joined.federation.name}；成员 / peers: {len(members)}", markup=False, highlight=False
        )
        if first and first.text:
            OUT.print(f"首次同步未完成 / first round: {first.text.in_language(state.language)}", markup=False)


@app.command("list", epilog="Example: gonghui peer list --json")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """列出对端及联系情况 / list the peers and how contact with them stands."""
    state: State = context.obj
    rows = [row for node in state.places for row in status.list_members(node, state.actor)]
    if as_json:
        print_json(rows)
        return
    columns = ["name", "id", "status", "transport", "url", "last_contact_at", "last_error"]
    print_table("对端 / peers", columns, [[row[name] or "" for name in columns] for row in rows])

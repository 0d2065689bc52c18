"""`gonghui init`: found a node in a folder. Relies on file access, because nobody has an account yet."""

import tomllib
from pathlib import Path
from typing import Annotated

import typer

from federation.errors import UsageError
from federation.keys import ED25519, SCHEMES
from node.cli.state import OUT, State, print_json
from node.founding import found_node


def init(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="节点目录 / folder of the node")],
    name: Annotated[str, typer.Option(help="学校名称 / the college's name")] = "",
    code: Annotated[str, typer.Option(help="工会统计代码（901）/ statistical code, field 901")] = "",
    hub: Annotated[bool, typer.Option("--hub", help="作为汇总节点 / be the hub of a federation")] = False,
    federation_name: Annotated[str, typer.Option(help="联合体名称 / name of the hub's federation")] = "",
    admin: Annotated[str, typer.Option(help="第一个管理员账号 / first administrator's account")] = "admin",
    host: Annotated[str, typer.Option(help="监听地址 / address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="监听端口 / port to listen on")] = 8650,
    public_url: Annotated[str, typer.Option(help="对端访问的地址 / URL for peers; empty: no inbound port")] = "",
    transport: Annotated[
        str, typer.Option(help="交换方式 / how records travel: direct, relay (hub's mailbox) or file (stick)")
    ] = "direct",
    database: Annotated[str, typer.Option(help="数据库地址 / database URL")] = "sqlite:///gonghui.db",
    sync_interval: Annotated[int, typer.Option(min=1, help="同步间隔（秒）/ seconds between rounds")] = 900,
    key_algorithm: Annotated[
        str, typer.Option(help="签名密钥算法 / algorithm of the signing key: " + ", ".join(SCHEMES))
    ] = ED25519,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="其他配置项 / any other key of the configuration"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """建立一个节点：配置、密钥、数据库、管理员 / found a node.  Example: gonghui init ./my-node --name 某学院."""
    state: State = context.obj
    if key_algorithm not in SCHEMES:
        raise UsageError(
            "key-algorithm",
            f"没有密钥算法 {key_algorithm}，可选：{'、'.join(SCHEMES)}。",
            f"There is no key algorithm {key_algorithm}; choose one of {', '.join(SCHEMES)}.",
        )
    values: dict[str, object] = {
        "node.code": code,
        "node.language": "en" if state.language.startswith("en") else "zh",
        "hub.enabled": hub,
        "server.host": host,
        "server.port": port,
        "server.public_url": public_url,
        "exchange.transport": transport,
        "database.url": database,
        "sync.interval_seconds": sync_interval,
    }
    if name:
        values["node.name"] = name
    values |= dict(_read_setting(text) for text in setting or [])
    made = found_node(folder, values, admin=admin, federation_name=federation_name, key_algorithm=key_algorithm)
    facts = {
        "config": str(made.config),
        "node_id": made.node_id,
        "fingerprint": made.fingerprint,
        "setup_link": made.setup_link,
        "token_file": str(made.token_file),
        "federation": made.federation,
    }
    if as_json:
        print_json(facts)
        return
    OUT.print(
        f"节点已建立 / the node is founded: {made.config}\n"
        f"  编号 / id            {made.node_id}\n"
        f"  密钥指纹 / fingerprint {made.fingerprint}\n"
        + (f"  联合体 / federation   {made.federation}\n" if made.federation else "")
        + f"  管理员令牌 / token     {made.token_file}\n"
        f"启动后打开这个一次性链接设置密码 / start it, then open this one-time link to set a password:\n"
        f"  {made.setup_link}\n"
        f"  gonghui --config {made.config} serve",
        highlight=False,
        markup=False,
    )


def _read_setting(text: str) -> tuple[str, object]:
    """Read `section.key=value`; a value that is no TOML is a text."""
    path, _, value = text.partition("=")
    try:
        return path.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return path.strip(), value

"""`gonghui user`: who may sign in and what they may do. A secret is shown once, or written to a file of mode 0600."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.access import accounts
from node.access.accounts import ROLE_NAMES, AccountFacts
from node.cli.files import new_file
from node.cli.state import OUT, State, print_json, print_table
from node.founding import local_url

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="NAME", help="账号名 / the account")]
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]
_ROLES = "、".join(f"{code} {text.zh}" for code, text in ROLE_NAMES.items())


def _as_json(account: AccountFacts) -> dict[str, Any]:
    return vars(account)


@app.command(epilog="Example: gonghui user add zhang --role officer --token-out zhang.token")
def add(
    context: typer.Context,
    name: Name,
    role: Annotated[str, typer.Option(help=f"角色 / role: {_ROLES}")],
    token_out: Annotated[Path | None, typer.Option(help="令牌写入的新文件 / new file for a token")] = None,
    as_json: Json = False,
) -> None:
    """增加账号，给出设置密码的一次性链接 / add an account; prints a one-time link to set its password."""
    state: State = context.obj
    if token_out is None:
        account, link = accounts.add_account(state.node, state.actor, name, role)
    else:
        with new_file(token_out, 0o600) as file:
            account, link = accounts.add_account(state.node, state.actor, name, role)
            file.write(accounts.new_token(state.node, state.actor, account.id).encode() + b"\n")
    url = local_url(state.node.settings) + link
    if as_json:
        print_json({**_as_json(account), "setup_link": url, "token_file": str(token_out or "")})
        return
    OUT.print(f"已增加 / added: {account.name}  {ROLE_NAMES[account.role].in_language(state.language)}", markup=False)
    OUT.print(f"设置密码的一次性链接 / one-time link to set a password:\n  {url}", markup=False, highlight=False)
    if token_out:
        OUT.print(f"令牌 / token: {token_out}", markup=False, highlight=False)


@app.command("list", epilog="Example: gonghui user list --json")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """列出账号 / list the accounts."""
    state: State = context.obj
    found = accounts.list_accounts(state.node, state.actor)
    if as_json:
        print_json([_as_json(account) for account in found])
        return
    print_table(
        "账号 / accounts",
        ["账号 / name", "角色 / role", "状态 / state", "密码 / password", "令牌 / token"],
        [
            [
                account.name,
                ROLE_NAMES[account.role].in_language(state.language),
                "启用 / open" if account.active else "停用 / closed",
                "✓" if account.has_password else "—",
                "✓" if account.has_token else "—",
            ]
            for account in found
        ],
    )


@app.command(epilog="Example: gonghui user token zhang --out zhang.token")
def token(
    context: typer.Context,
    name: Name,
    out: Annotated[Path, typer.Option(help="令牌写入的新文件 / new file for the token")],
    as_json: Json = False,
) -> None:
    """换发令牌，旧的作废 / issue a new token; the one before dies."""
    state: State = context.obj
    account_id = accounts.find_account_id(state.node, state.actor, name)
    with new_file(out, 0o600) as file:
        file.write(accounts.new_token(state.node, state.actor, account_id).encode() + b"\n")
    if as_json:
        print_json({"id": account_id, "name": name, "token_file": str(out)})
    else:
        OUT.print(str(out), markup=False, highlight=False)


@app.command(epilog="Example: gonghui user link zhang")
def link(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """给出设置密码的一次性链接，旧的作废 / make a one-time link to set the password; the one before dies."""
    state: State = context.obj
    account_id = accounts.find_account_id(state.node, state.actor, name)
    url = local_url(state.node.settings) + accounts.new_setup_link(state.node, state.actor, account_id)
    if as_json:
        print_json({"id": account_id, "name": name, "setup_link": url})
    else:
        OUT.print(url, markup=False, highlight=False)


@app.command(epilog="Example: gonghui user disable zhang")
def disable(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """停用账号，立即退出登录 / close an account: its sessions end, its token no longer counts."""
    _set_active(context.obj, name, active=False, as_json=as_json)


@app.command(epilog="Example: gonghui user enable zhang")
def enable(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """重新启用账号 / open a closed account again."""
    _set_active(context.obj, name, active=True, as_json=as_json)


def _set_active(state: State, name: str, *, active: bool, as_json: bool) -> None:
    account_id = accounts.find_account_id(state.node, state.actor, name)
    _tell(state, accounts.set_active(state.node, state.actor, account_id, active=active), as_json=as_json)


@app.command(epilog="Example: gonghui user role zhang approver")
def role(
    context: typer.Context,
    name: Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"角色 / role: {_ROLES}")],
    as_json: Json = False,
) -> None:
    """更改角色 / give an account another role."""
    state: State = context.obj
    account_id = accounts.find_account_id(state.node, state.actor, name)
    _tell(state, accounts.set_role(state.node, state.actor, account_id, role), as_json=as_json)


def _tell(state: State, account: AccountFacts, *, as_json: bool) -> None:
    if as_json:
        print_json(_as_json(account))
        return
    status = "启用 / open" if account.active else "停用 / closed"
    OUT.print(f"{account.name}: {ROLE_NAMES[account.role].in_language(state.language)}, {status}", markup=False)

"""The command `gonghui`: one module a group of commands; exit codes are those of `federation.errors`."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from federation.errors import GonghuiError
from node.audit.tally import write_all_counts
from node.cli import (
    audit,
    data,
    demo,
    doctor,
    enrol,
    federation,
    indicators,
    init,
    notice,
    peer,
    query,
    record,
    release,
    serve,
    sync,
    user,
    verify,
)
from node.cli.owners import check_owners
from node.cli.state import ERR, State, print_error
from node.clock import now

app = typer.Typer(
    name="gonghui",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="数智工会节点 / the node of a digital union.  Example: gonghui init ./my-node",
)
app.command("init")(init.init)
app.command("serve")(serve.serve)
app.command("doctor")(doctor.doctor)
app.add_typer(user.app, name="user", help="账号 / accounts")
app.add_typer(data.app, name="data", help="数据导入与撤销 / import and undo")
app.add_typer(indicators.app, name="indicators", help="指标 / indicators")
app.add_typer(release.app, name="release", help="发布 / releases")
app.add_typer(notice.app, name="notice", help="活动通知 / event notices")
app.add_typer(federation.app, name="federation", help="联合体与管理员 / the federation and its officers")
app.add_typer(enrol.app, name="enrol", help="入会与成员变更 / joining and members' changes")
app.add_typer(peer.app, name="peer", help="对端 / peers and members")
app.add_typer(sync.app, name="sync", help="同步 / synchronisation")
app.add_typer(record.app, name="record", help="已签名的条目 / signed records")
app.add_typer(audit.app, name="audit", help="审计日志 / audit trail")
app.command("query")(query.query)
app.command("verify")(verify.verify)
app.command("demo")(demo.demo)


@app.callback()
def options(
    context: typer.Context,
    config: Annotated[Path, typer.Option(envvar="GONGHUI_CONFIG", help="配置文件 / configuration")] = Path(
        "config.toml"
    ),
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="GONGHUI_TOKEN_FILE", help="账号令牌文件 / token of the acting account"),
    ] = None,
    lang: Annotated[str, typer.Option(envvar="GONGHUI_LANG", help="zh 或 en")] = "zh",
) -> None:
    """Keep the options that all commands share."""
    context.obj = State(config, token_file, lang)


def main() -> None:
    """Run the command; turn every error into its text and exit code."""
    try:
        check_owners(packages_distributions())
        code = app(standalone_mode=False)
    except GonghuiError as error:
        print_error(error, "en" if "en" in _language_of(sys.argv) else "zh")
        sys.exit(error.exit_code)
    except TyperException as error:
        error.show()  # type: ignore[attr-defined]  # each that can be raised here has it
        sys.exit(2)
    except (typer.Abort, KeyboardInterrupt):
        ERR.print("已取消 / cancelled")
        sys.exit(130)
    finally:
        write_all_counts(now())
    sys.exit(code if isinstance(code, int) else 0)


def _language_of(arguments: list[str]) -> str:
    """Find `--lang` where the command line itself could not be read."""
    for index, argument in enumerate(arguments[:-1]):
        if argument == "--lang":
            return arguments[index + 1]
    return "zh"

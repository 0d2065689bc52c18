"""The command `gonghui`: one module a word; exit codes are those of `federation.errors`.

Only the module of the word that was typed is imported: a command starts in half the time.
"""

import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import distributions
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from federation.errors import GonghuiError
from node.audit.tally import write_all_counts
from node.cli.owners import check_owners, find_owners
from node.cli.state import ERR, State, print_error
from node.clock import now

# word -> help of its group, in the order of --help; without one the module holds a single command
WORDS = {
    "init": "",
    "serve": "",
    "doctor": "",
    "user": "账号 / accounts",
    "data": "数据导入与撤销 / import and undo",
    "indicators": "指标 / indicators",
    "release": "发布 / releases",
    "privacy": "保密审查 / privacy",
    "notice": "活动通知 / event notices",
    "federation": "联合体与管理员 / the federation and its officers",
    "enrol": "入会与成员变更 / joining and members' changes",
    "key": "本节点的密钥 / this node's own keys",
    "peer": "对端 / peers and members",
    "sync": "同步 / synchronisation",
    "bundle": "数据包：介质或邮件 / bundles for stick or mail",
    "record": "已签名的条目 / signed records",
    "audit": "审计日志 / audit trail",
    "query": "",
    "verify": "",
    "demo": "",
}


def make_app(only: str = "") -> typer.Typer:
    """Return the command line with all words, or with one alone."""
    app = typer.Typer(
        name="gonghui",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        help="数智工会节点 / the node of a digital union.  Example: gonghui init ./my-node",
    )
    app.callback()(options)
    for word, told in WORDS.items():
        if only not in {"", word}:
            continue
        module = import_module(f"node.cli.{word}")
        if told:
            app.add_typer(module.app, name=word, help=told)
        else:
            app.command(word)(getattr(module, word))
    return app


def options(
    context: typer.Context,
    config: Annotated[Path, typer.Option(envvar="GONGHUI_CONFIG", help="配置文件 / configuration")] = Path(
        "config.toml"
    ),
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="GONGHUI_TOKEN_FILE", help="账号令牌文件 / token of the acting account"),
    ] = None,
    federation: Annotated[
        str,
        typer.Option(
            envvar="GONGHUI_FEDERATION",
            metavar="ID|NAME",
            help="哪个联合体（属于几个时） / which federation, where the node is in several",
        ),
    ] = "",
    lang: Annotated[str, typer.Option(envvar="GONGHUI_LANG", help="zh 或 en")] = "zh",
) -> None:
    """Keep the options that all commands share."""
    state = context.ensure_object(State)
    state.config, state.token_file, state.federation, state.language = config, token_file, federation, lang


def main() -> None:
    """Run the command; turn every error into its text and exit code."""
    state, word = State(), _word_of(sys.argv[1:])
    try:
        check_owners(find_owners(distributions()))
        app = make_app(word)
        gc.freeze()  # the program itself is never garbage
        gc.enable()
        code = app(standalone_mode=False, obj=state)
    except GonghuiError as error:
        state.count_refusal(error, word)
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


def _word_of(arguments: Sequence[str]) -> str:
    """Return the word that was typed, behind the options of all commands; "" where all words must be known."""
    rest = iter(arguments)
    for argument in rest:
        if argument in {"--config", "--token-file", "--federation", "--lang"}:
            next(rest, "")
        elif not argument.startswith("--") or argument == "--help":
            return argument if argument in WORDS else ""
    return ""

"""The parts of the documents that are written from the code: `make documents` writes them, a test compares them."""

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer.main

from federation import errors
from federation.roll import KEY_STATES, MEMBER_STATES
from node.activities.service import TRANSITIONS as NOTICE_STATES
from node.cli import make_app
from node.config import sections, toml_value, write_settings_text
from node.indicators.release import TRANSITIONS as RELEASE_STATES
from node.stream.states import DESK_DRAFT_STATES, OUTBOX_STATES, RECORD_STATES, REQUEST_STATES

ROOT = Path(__file__).resolve().parents[2]
_MADE = "<!-- Written by `make documents` from the code; do not edit. -->"


def leaves(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Return (words, command) of every command that does something, in the order of --help."""
    command = command or typer.main.get_command(make_app())
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, child in command.commands.items():
        yield from leaves(child, (*path, name))


def groups() -> set[tuple[str, ...]]:
    """Return the words of every command group that has no command yet."""
    root: Any = typer.main.get_command(make_app())
    return {(name,) for name, child in root.commands.items() if not getattr(child, "commands", True)}


def _text(value: str | None) -> str:
    return " ".join((value or "").replace("|", "\\|").split())


def _option_line(parameter: Any) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    help_text = _text(getattr(parameter, "help", ""))
    if parameter.param_type_name == "argument":
        names = f"`{_text(parameter.metavar) or parameter.name.upper()}`"
    return f"| {names} | {help_text} |"


def commands_text() -> str:
    """Return docs/commands.md."""
    lines = ["# Commands and exit codes 命令与退出码", "", _MADE, "", "## Exit codes 退出码", ""]
    lines += ["| code | error | meaning |", "|---|---|---|", "| 0 | | ok |"]
    tree = [errors.GonghuiError, *vars(errors).values()]
    found = {kind for kind in tree if isinstance(kind, type) and issubclass(kind, errors.GonghuiError)}
    for kind in sorted(found, key=lambda kind: kind.exit_code):
        meaning = "internal" if kind is errors.GonghuiError else (inspect.getdoc(kind) or "").splitlines()[0]
        lines.append(f"| {kind.exit_code} | {kind.__name__} | {meaning.rstrip('.')} |")
    lines += ["", "An error prints its stable code and one sentence, in Chinese or with `--lang en` in English.", ""]
    lines += ["## Options of every command 公共选项", "", "| option | |", "|---|---|"]
    root = typer.main.get_command(make_app())
    lines += [_option_line(parameter) for parameter in root.params if parameter.name != "help"]
    for words, command in leaves():
        told = [_text(part) for part in (command.help, command.epilog) if part]
        lines += ["", f"## gonghui {' '.join(words)}", "", *[line for text in told for line in (text, "")]]
        rows = [_option_line(parameter) for parameter in command.params if parameter.name != "help"]
        lines += ["| argument, option | |", "|---|---|", *rows] if rows else []
        if not rows:
            lines.pop()
    return "\n".join(lines) + "\n"


def configuration_text() -> str:
    """Return docs/configuration.md."""
    lines = ["# Configuration 配置", "", _MADE, ""]
    lines += [
        "One TOML file, `config.toml`, written by `gonghui init`; [config.example.toml](../config.example.toml) holds",
        "every key with its default. Relative paths are relative to the folder of the file. A key that does not exist",
        "is an error that names the nearest one that does.",
        "相对路径以配置文件所在目录为准；不认识的配置项会报错并给出最接近的名称。",
    ]
    for section, (title, keys) in sections().items():
        lines += ["", f"## [{section}] {title}", "", "| key | default | allowed | |", "|---|---|---|---|"]
        lines += [
            f"| `{key.name}` | `{toml_value(key.default)}` | {_text(key.allowed)} | {_text(key.description)} |"
            for key in keys
        ]
    return "\n".join(lines) + "\n"


def _told(node: ast.expr) -> str:
    """Return the text of a literal; what is filled in becomes `…`."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    parts = node.values if isinstance(node, ast.JoinedStr) else []
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in parts)


def _literal(node: ast.expr) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def codes() -> dict[str, tuple[str, str]]:
    """Return code -> (name of its error, English text), as the code of the exchange raises them."""
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    found: dict[str, tuple[str, str]] = {}
    told: list[tuple[str, str, str]] = []
    for folder in ("federation", "node/exchange", "node/stream"):
        for path in sorted((ROOT / folder).glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                    continue
                kind = "TrustError" if node.func.id == "_refuse" else node.func.id
                if kind in kinds and len(node.args) >= 3:
                    told.append((_literal(node.args[0]), kind, _told(node.args[2])))
                told += [(_literal(word.value), "a verdict", "") for word in node.keywords if word.arg == "code"]
    for code, kind, said in sorted(told, key=lambda entry: not entry[2]):
        if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", code):
            found.setdefault(code, (kind, said))
    return found


def codes_text() -> str:
    """Return docs/codes.md."""
    lines = ["# Codes of the exchange 错误代码", "", _MADE, ""]
    lines += [
        "What programs match on; texts may change. [Commands](commands.md) has the exit code of each error.",
        "",
    ]
    lines += ["| code | error | said |", "|---|---|---|"]
    lines += [f"| `{code}` | {kind} | {_text(said)} |" for code, (kind, said) in sorted(codes().items())]
    return "\n".join(lines) + "\n"


MACHINES: dict[str, tuple[str, Any]] = {
    "A record that was received or appended 条目": (
        "`node/stream/states.py`. Place and content are believed apart: what is refused keeps its place.",
        RECORD_STATES,
    ),
    "An outbox row: one record for one peer 待发": (
        "`node/stream/states.py`. Delivered means: the receiver's receipt, verified, lies beside it.",
        OUTBOX_STATES,
    ),
    "A member of the list 成员": (
        "`federation/roll.py`. t officers sign each change; one alone can hold.",
        MEMBER_STATES,
    ),
    "A key of a member 密钥": ("`federation/roll.py`. A revocation names a time.", KEY_STATES),
    "A request at the hub's desk 申请": (
        "`node/stream/states.py`. Officers decide by what they sign; the hub follows.",
        REQUEST_STATES,
    ),
    "A draft of the member list 名录变更": ("`federation/drafts.py`, `node/stream/states.py`.", DESK_DRAFT_STATES),
    "A release 发布": ("`node/indicators/release.py`.", RELEASE_STATES),
    "A notice 活动通知": ("`node/activities/service.py`.", NOTICE_STATES),
}


def _moves(table: Any) -> list[tuple[str, str, str]]:
    """Return (from, what happens, to) of a table of either form."""
    found = []
    for key, value in table.items():
        if isinstance(key, tuple):
            found.append((key[0], key[1], value))
        else:
            found += [(source, key, value[1]) for source in sorted(value[0])]
    return found


def states_text() -> str:
    """Return docs/states.md."""
    lines = ["# States 状态图", "", _MADE, ""]
    lines += ["Drawn from the tables that the program itself goes by. The dot is what is not there yet.", ""]
    for title, (about, table) in MACHINES.items():
        lines += [f"## {title}", "", about, "", "```mermaid", "stateDiagram-v2"]
        moves = _moves(table)
        starts = {source for source, _, _ in moves if source} - {target for _, _, target in moves}
        lines += [f"    [*] --> {start}" for start in sorted(starts)]
        lines += [f"    {source or '[*]'} --> {target} : {action}" for source, action, target in moves]
        lines += ["```", ""]
    return "\n".join(lines).rstrip() + "\n"


def documents() -> dict[Path, str]:
    """Return path -> text of everything that is generated."""
    return {
        ROOT / "config.example.toml": write_settings_text(),
        ROOT / "docs" / "configuration.md": configuration_text(),
        ROOT / "docs" / "commands.md": commands_text(),
        ROOT / "docs" / "states.md": states_text(),
        ROOT / "docs" / "codes.md": codes_text(),
    }


def find_command(words: list[str]) -> tuple[click.Command | None, list[str]]:
    """Return the command that these words name, and the words that follow it; None where there is none."""
    command: Any = typer.main.get_command(make_app())
    rest = list(words)
    while rest and hasattr(command, "commands"):
        if rest[0].startswith("-"):
            option = next((p for p in command.params if rest[0].partition("=")[0] in p.opts), None)
            if option is None:
                return None, rest
            rest = rest[1 if "=" in rest[0] or option.is_flag else 2 :]
            continue
        command = command.commands.get(rest.pop(0))
        if command is None:
            return None, rest
    return (None if hasattr(command, "commands") and command.commands else command), rest


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")

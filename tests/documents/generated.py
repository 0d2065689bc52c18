"""The parts of the documents that are written from the code: `make documents` writes them, a test compares them."""

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer.main

from federation import errors
from node.cli import make_app
from node.config import sections, toml_value, write_settings_text

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


def documents() -> dict[Path, str]:
    """Return path -> text of everything that is generated."""
    return {
        ROOT / "config.example.toml": write_settings_text(),
        ROOT / "docs" / "configuration.md": configuration_text(),
        ROOT / "docs" / "commands.md": commands_text(),
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

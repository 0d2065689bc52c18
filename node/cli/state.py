"""What every command shares: which node, who acts, how to print. Commands stay thin: parse, call a service, show."""

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import node.tables  # noqa: F401  whoever opens a database knows every table
from federation.errors import GonghuiError, NotPermitted
from node.access.permissions import Actor
from node.access.service import actor_of_token
from node.audit.events import NETWORK
from node.audit.tally import count_event
from node.context import Node, open_node


@dataclass
class State:
    """Options of the whole command line, and what is opened from them on first use."""

    config: Path = Path("config.toml")
    token_file: Path | None = None
    federation: str = ""
    language: str = "zh"

    @cached_property
    def node(self) -> Node:
        """Open the node of `--config`, as it speaks in `--federation`; raise InputRefused where it is in none such."""
        node = open_node(self.config)
        if not self.federation:
            return node
        from node.stream.service import get_named

        with node.database.read() as session:
            return node.within(get_named(session, self.federation).id)

    @property
    def places(self) -> list[Node]:
        """Return the node as it speaks in each of its federations, where it is in several and none was named."""
        from node.stream.parents import list_meant

        with self.node.database.read() as session:
            meant = list_meant(session, self.node)
        return [self.node.within(one.id) for one in meant] if len(meant) > 1 else [self.node]

    @cached_property
    def actor(self) -> Actor:
        """Return the account whose token file was given; raise NotPermitted without one."""
        with self.node.database.read() as session:
            return actor_of_token(session, self.token_file)

    def count_refusal(self, error: GonghuiError, word: str) -> None:
        """Count for the audit trail that a command was refused to whoever typed it; it is written when we end."""
        node, actor = vars(self).get("node"), vars(self).get("actor")
        if node is None or not isinstance(error, NotPermitted):
            return
        count_event(
            node.database,
            node.clock(),
            account_id=actor.account_id if actor else NETWORK,
            action="access.refuse",
            subject=f"gonghui:{word}",
            result=error.code,
        )


OUT = Console(soft_wrap=True)
ERR = Console(stderr=True, soft_wrap=True)


def print_each(found: list[Any]) -> None:
    """Print for a script what came of each federation: as it is where there is one, as `federations` for several."""
    print_json(found[0] if len(found) == 1 else {"federations": found})


def print_json(value: Any) -> None:
    """Print one JSON document for a script."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + os.linesep)


def print_table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """Print a table for a person."""
    table = Table(*columns, title=title, title_justify="left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    OUT.print(table)


def print_error(error: GonghuiError, language: str) -> None:
    """Print code and text of an error to standard error."""
    ERR.print(f"[red]{error.code}[/red] {error.text.in_language(language)}", highlight=False)

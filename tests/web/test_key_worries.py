"""The home page tells the administrator, and nobody else, that the keys lie nowhere else."""

from collections.abc import Callable

import pytest

from federation.keys import new_private_pem
from node import keycare
from node.access.permissions import ADMIN, ROLES, Actor
from node.context import Node
from node.keyring import replace_private_file

from .conftest import Browser

SAID = "gonghui key backup"


@pytest.mark.parametrize("role", ROLES)
def test_a_missing_backup_is_told_to_whoever_can_make_one(open_browser: Callable[..., Browser], role: str) -> None:
    assert (SAID in open_browser(role).get("/").text) == (role == ADMIN)


def test_it_is_told_no_more_once_there_is_one(open_browser: Callable[..., Browser], node: Node) -> None:
    replace_private_file(node.folder / "node.key", new_private_pem())
    replace_private_file(node.folder / "node.secret", node.secret)
    admin = Actor("a-admin", "admin", ADMIN)
    made = keycare.back_up(node, admin, shares=3, threshold=2)
    assert SAID in open_browser("admin").get("/").text  # nothing is on a disk yet
    keycare.note_backup(node, admin, made)
    assert SAID not in open_browser("admin").get("/").text

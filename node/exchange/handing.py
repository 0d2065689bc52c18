"""A newer member list, handed to a hub that holds an older one: a hub restored from a backup, or one that changed.

Most colleges have no address at which a hub could fetch. So a college whose hub's signed answer names older versions
than it holds itself posts its copy. A list proves itself; the hub looks at one only while a member's signed word says
that it is behind, and signs nothing older meanwhile (`refreshing.sign_anew`).
"""

from federation.client import Link
from federation.errors import Conflict, NetworkError, TrustError
from federation.listfile import read_list_file, write_list_file
from federation.membership import Files, Versions
from federation.metadata import ROLES
from node.context import Node
from node.exchange.inbox import Handlers
from node.exchange.refreshing import is_behind, sign_anew, take_from
from node.stream.memberlist import find_state, load_list_files, versions_of
from node.stream.models import Federation
from node.stream.service import list_federations

HANDED = "handed-over"  # the source of such a list


def hand_over_list(node: Node, link: Link, told: object) -> bool:
    """Post our list to the hub where its answer (`told`: role -> version) names an older one; tell whether it took it.

    What goes wrong is the hub's affair and ends no round.
    """
    if not isinstance(told, dict) or not link.provider.is_hub:
        return False
    with node.database.read() as session:
        ours = versions_of(session, link.provider.federation)
        if not any(ours.get(role, 0) > _version(told.get(role)) for role in ROLES):
            return False
        files = load_list_files(session, link.provider.federation)
    try:
        link.client.fetch_page("membership", write_list_file(files))
    except (NetworkError, TrustError):
        return False
    return True


def take_handed(node: Node, data: bytes, handlers: Handlers) -> Versions:
    """Take a list that somebody hands over; return the versions held then. Raise TrustError, InputRefused, Conflict.

    At the hub timestamp and snapshot are signed anew at once, above all that members have seen.
    """
    with node.database.read() as session:
        states = [(one, find_state(session, one.id)) for one in list_federations(session)]
    behind = [one for one, state in states if state is not None and is_behind(state)]
    if not behind:
        raise Conflict("list-not-behind", "本节点的名录不旧。", "Nobody has shown a newer list than this node holds.")
    federation = _take_where_it_holds(node, behind, read_list_file(data), handlers)
    if federation.hub_id == node.node_id:
        sign_anew(node, federation.id, at_once=True)
    with node.database.read() as session:
        return versions_of(session, federation.id)


def _take_where_it_holds(node: Node, behind: list[Federation], files: Files, handlers: Handlers) -> Federation:
    """Take the list in the federation from whose pinned root it follows; raise TrustError where that is none."""
    for federation in behind[:-1]:
        try:
            take_from(node, federation.id, files.get, handlers, source=HANDED)
        except TrustError:
            continue
        return federation
    take_from(node, behind[-1].id, files.get, handlers, source=HANDED)
    return behind[-1]


def _version(told: object) -> int:
    return told if type(told) is int else 0

"""Several parents at once: what is done for each federation of this node, side by side, so that none waits for another.

A college may be in the federation of its industry line and in that of its territory; a province's hub is a member of
the nation's. Each has its own list, streams and peers; a parent that is dead, slow or hostile costs the others nothing.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from sqlmodel import Session

from federation.errors import GonghuiError
from node.context import Node
from node.stream.models import Federation
from node.stream.service import find_federation, list_federations

T = TypeVar("T")


def list_meant(session: Session, node: Node) -> list[Federation]:
    """Return the federations that are meant: the one in which `node` speaks, else all it is in."""
    if not node.federation:
        return list_federations(session)
    federation = find_federation(session, node)
    return [federation] if federation else []


def list_places(session: Session, node: Node) -> list[Node]:
    """Return the node as it speaks in each of its federations, the first joined first; itself where there is but one.

    What runs by itself runs for each place apart, so that a parent that keeps one busy for hours delays no other.
    """
    joined = list_federations(session)
    return [node.within(one.id) for one in joined] if len(joined) > 1 else [node]


def job_of(session: Session, node: Node, name: str) -> str:
    """Return under which name a job runs for the federation in which `node` speaks: for the first, its own."""
    first = list_places(session, node)[0]
    return name if node.federation in {"", first.federation} else f"{name}:{node.federation}"


def in_each(node: Node, work: Callable[[Node], T]) -> list[T]:
    """Do `work` in each federation that is meant; return what came of each, in the order they were joined.

    Several are worked at side by side. What goes wrong in one is raised when all have ended.
    """
    with node.database.read() as session:
        places = [node.within(federation.id) for federation in list_meant(session, node)]
    if len(places) == 1:
        return [work(places[0])]
    with ThreadPoolExecutor(max_workers=max(1, len(places)), thread_name_prefix="federation") as threads:
        started = [threads.submit(work, place) for place in places]
    results, failure = [], None
    for future in started:
        error = future.exception()
        if error is None:
            results.append(future.result())
        elif isinstance(error, GonghuiError):
            failure = failure or error
        else:
            raise error
    if failure is not None:
        raise failure
    return results

"""Rounds of synchronisation started from a page: one at a time, in a thread, watched by looking again.

What a round did stands in the database; kept here is only what the page shows while it runs. A process that ends in the
middle loses nothing, because a round is repaired by the next.
"""

import threading
from dataclasses import dataclass, field

from federation.errors import GonghuiError
from node.access.permissions import Actor, check_permission
from node.context import Node
from node.exchange.inbox import Handlers
from node.exchange.sync import PeerResult, run_now
from node.stream.service import get_federation


@dataclass
class Rounds:
    """The round of this process, running or ended."""

    running: bool = False
    results: list[PeerResult] = field(default_factory=list)
    error: GonghuiError | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, node: Node, actor: Actor, handlers: Handlers, peer: str = "") -> bool:
        """Start a round; return False where one is running. Raise NotPermitted and Conflict before anything starts."""
        check_permission(actor, "sync.run")
        with node.database.read() as session:
            get_federation(session, node)
        with self._lock:
            if self.running:
                return False
            self.running, self.results, self.error = True, [], None
        threading.Thread(target=self._run, args=(node, actor, handlers, peer), name="round", daemon=True).start()
        return True

    def _run(self, node: Node, actor: Actor, handlers: Handlers, peer: str) -> None:
        try:
            run_now(node, actor, handlers, only=peer, on_result=self.results.append)
        except GonghuiError as error:
            self.error = error
        finally:
            self.running = False

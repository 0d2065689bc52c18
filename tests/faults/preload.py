"""What every forked process would otherwise read and work out for itself: a small federation lives once, in here.

What comes of that is kept by the program itself: modules, validators, compiled statements and expressions. Nothing of
the nodes stays, neither files nor connections nor threads.
"""

import gc
import tempfile
from importlib import import_module
from pathlib import Path

import highspy
from sqlalchemy.orm import configure_mappers

import federation.client
import node.app
import node.cli
import node.handlers
import node.jobs
import tests.faults.proxy  # noqa: F401
from node.context import Node
from node.exchange.sync import run_round
from tests.faults.federation import found, publish_all
from tests.transport import AppTransport

_OF_A_SERVER = ("logging", "loops.auto", "protocols.http.auto", "protocols.websockets.auto", "lifespan.on")


def live_once(folder: Path) -> None:
    """Found a hub and a college, let the college say something, and both exchange it."""
    nodes = found(folder, ["x"])
    publish_all(str(nodes["x"].config))
    with nodes.hub.opened() as hub, nodes["x"].opened() as college:
        app = node.app.create_app(hub)
        nodes.address_hub("http://hub")

        def connect(_: Node, url: str) -> federation.client.PeerClient:
            return federation.client.PeerClient(url, transport=AppTransport(app))

        for _ in range(2):
            run_round(college, node.handlers.HANDLERS, by_hand=True, connect=connect)


configure_mappers()
node.cli.distributions = list  # type: ignore[assignment]  # what is installed was looked at when the tests started
node.cli.make_app()  # reads every word's module
for _module in _OF_A_SERVER:
    import_module(f"uvicorn.{_module}")
with tempfile.TemporaryDirectory() as _folder:
    live_once(Path(_folder))
highspy.Highs.resetGlobalScheduler(True)  # the solver's threads: a fork has none, and would fall over them at its end
federation.client._ALARMS = federation.client._Alarms()  # whose thread is this process's
gc.collect()
gc.freeze()

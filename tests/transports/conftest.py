"""The small federation of the other tests, with sticks."""

import io

from node.access.permissions import SYSTEM
from node.context import Node
from node.exchange.bundles import export_bundle, import_bundle
from node.exchange.unpacking import Taken
from tests.exchange.conftest import World, sample_schema, world  # noqa: F401  fixtures
from tests.sync.conftest import Net, net  # noqa: F401  fixtures


def carry(world: World, sender: Node, to: Node, *, lose: bool = False, times: int = 1) -> Taken:  # noqa: F811
    """Carry a stick from one node to another, or lose it."""
    data = b"".join(export_bundle(sender, SYSTEM, to.node_id).parts())
    taken = Taken()
    for _ in range(0 if lose else times):
        taken.add(import_bundle(to, SYSTEM, io.BytesIO(data), world.handlers))
    return taken

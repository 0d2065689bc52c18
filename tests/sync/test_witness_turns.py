"""Two visits at once at one hub: its checkpoint is signed once, and both show the same one."""

import threading
from concurrent.futures import ThreadPoolExecutor

from node.exchange.cosigning import current_checkpoint
from node.stream.service import get_federation
from tests.sync.conftest import Net


def test_of_two_visits_at_once_one_signs_the_checkpoint(net: Net) -> None:
    hub = net.world.hub
    inside, committed = threading.Event(), threading.Event()

    def first() -> str:
        with hub.database.write() as session:
            row = current_checkpoint(session, hub, get_federation(session, hub))
            inside.set()
            committed.wait(2)  # the other is on its way meanwhile, as far as the database lets it
            return row.id

    def second() -> str:
        inside.wait(10)
        with hub.database.write() as session:
            return current_checkpoint(session, hub, get_federation(session, hub)).id

    with ThreadPoolExecutor(2) as pool:
        one, other = pool.submit(first), pool.submit(second)
        inside.wait(10)
        threading.Timer(0.3, committed.set).start()
        assert one.result(20) == other.result(20)

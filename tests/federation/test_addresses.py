"""Where a peer's address may lead: judged on the connection, before a byte is sent."""

import socket
import threading

import pytest

from federation.addresses import check_address, read_networks
from federation.client import Limits, PeerClient
from federation.errors import NetworkError, UsageError


@pytest.mark.parametrize(
    "address", ["10.1.2.3", "192.168.0.1", "127.0.0.1", "::1", "fd00::1", "202.112.0.1", "2001:da8::1"]
)
def test_a_campus_may_use_its_own_ranges(address: str) -> None:
    check_address(address, ())


NEVER = ("169.254.169.254", "fe80::1%eth0", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "240.0.0.1")  # noqa: S104


@pytest.mark.parametrize("address", [*NEVER, "::ffff:169.254.169.254"])
def test_some_addresses_are_never_called(address: str) -> None:
    with pytest.raises(NetworkError, match="peer-address-refused"):
        check_address(address, read_networks("0.0.0.0/0 ::/0"))


def test_named_networks_are_the_only_ones_called() -> None:
    allowed = read_networks("202.112.0.0/16, 10.0.0.0/8")
    check_address("10.9.9.9", allowed)
    check_address("::ffff:10.9.9.9", allowed)
    for address in ("127.0.0.1", "192.168.1.1", "::1"):
        with pytest.raises(NetworkError, match="peer-address-refused"):
            check_address(address, allowed)
    with pytest.raises(UsageError, match="networks-misspelt"):
        read_networks("10.0.0.1/8")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_nothing_is_sent_where_the_connection_leads_astray(host: str) -> None:
    """A literal is not even connected to; a name is judged by where it led."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def accept() -> None:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                received.append(connection.recv(100))

        thread = threading.Thread(target=accept)
        thread.start()
        url = f"http://{host}:{listener.getsockname()[1]}"
        client = PeerClient(url, limits=Limits(2, 4), networks=read_networks("10.0.0.0/8"))
        with client, pytest.raises(NetworkError) as caught:
            client.fetch_well_known()
        assert caught.value.code == "peer-address-refused"
        if host == "127.0.0.1":
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert received == ([] if host == "127.0.0.1" else [b""])

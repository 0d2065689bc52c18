"""The client against real servers that misbehave: every call ends in time, within its bytes, with one clear code."""

import gzip
import json
import resource
import socket
import time
import zlib
from datetime import UTC, datetime

import httpx
import pytest

from federation.client import Limits, Link, PeerClient, Speaker, check_url
from federation.envelope import ANSWER_TYPE, join_page, sign
from federation.errors import GonghuiError, NetworkError, TrustError, UsageError
from federation.keys import Member, new_identifier, new_private_pem, read_signer
from tests.hostile import Behaviour, answer, hostile, says, silent

QUICK = Limits(connect_seconds=0.5, total_seconds=1.0, max_bytes=100_000)


def _fetch(behaviour: Behaviour, limits: Limits = QUICK) -> GonghuiError:
    start = time.monotonic()
    with hostile(behaviour) as url, PeerClient(url, limits=limits) as client, pytest.raises(GonghuiError) as caught:
        client.fetch_page("pull", b"[{}]")
    assert time.monotonic() - start < limits.total_seconds + 15  # the peer would hold on for a minute
    assert caught.value.text.zh
    assert caught.value.text.en
    return caught.value


def _refused(behaviour: Behaviour, code: str) -> None:
    error = _fetch(behaviour)
    assert (error.code, error.exit_code) == (code, NetworkError.exit_code)


def _drip(head: bytes, piece: bytes) -> Behaviour:
    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while True:
            connection.sendall(piece)
            time.sleep(0.05)

    return drip


def test_a_good_answer_is_returned_as_it_came() -> None:
    body = b'[{"payload":"x"}]'
    packed = answer(gzip.compress(body), extra="content-encoding: gzip\r\n")
    for data in (answer(body), packed, answer(body, kind="application/json; charset=utf-8")):
        with hostile(says(data)) as url, PeerClient(url, limits=QUICK) as client:
            assert client.fetch_page("pull", b"[{}]") == body


def test_html_is_not_an_answer() -> None:
    _refused(says(answer(b"<html>login</html>", kind="text/html")), "peer-answer-not-json")
    _refused(says(answer(b"<html>login</html>", kind="")), "peer-answer-not-json")


def test_an_error_without_a_problem() -> None:
    _refused(says(answer(b"<h1>500</h1>", status="500 Oops", kind="text/html")), "peer-error-status")
    _refused(says(answer(b"{}", status="500 Oops", kind="application/problem+json")), "peer-error-status")
    _refused(says(answer(b"[[[[", status="502 Bad", kind="application/problem+json")), "peer-error-status")
    _refused(says(answer(b"", status="204 No Content")), "peer-error-status")


def test_a_problem_keeps_its_code_and_none_of_its_words() -> None:
    problem = {"type": "x", "title": "evil words", "status": 409, "code": "request-replayed"}
    error = _fetch(says(answer(json.dumps(problem).encode(), status="409 No", kind="application/problem+json")))
    assert (error.code, error.exit_code) == ("request-replayed", 6)
    assert "evil" not in f"{error.text} {error.params}"
    problem |= {"status": 403, "code": "member-suspended"}
    error = _fetch(says(answer(json.dumps(problem).encode(), status="403 No", kind="application/problem+json")))
    assert (error.code, error.exit_code) == ("member-suspended", 5)


def test_a_clock_off_is_told_in_minutes() -> None:
    problem = {"type": "x", "title": "x", "status": 403, "code": "clock-skew", "skew_seconds": -2400}
    error = _fetch(says(answer(json.dumps(problem).encode(), status="403 No", kind="application/problem+json")))
    assert (error.code, error.exit_code) == ("clock-skew", 5)
    assert "40 分钟" in error.text.zh
    assert "40 minutes" in error.text.en


def test_nothing_for_a_minute() -> None:
    _refused(silent, "peer-timeout")


def test_a_slow_drip_of_the_body() -> None:
    _refused(_drip(answer(b"")[:-2].replace(b"length: 0", b"length: 9999") + b"\r\n", b"x"), "peer-timeout")
    chunked = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    _refused(_drip(chunked, b"1\r\nx\r\n"), "peer-timeout")
    unending = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
    _refused(_drip(unending, b"x"), "peer-timeout")


def test_a_slow_drip_of_the_head() -> None:
    _refused(_drip(b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n"), "peer-timeout")
    _refused(_drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "peer-timeout")


def _gigabyte(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n")
    piece = b"x" * 1_000_000
    for _ in range(1000):
        connection.sendall(piece)


def test_a_gigabyte_is_cut_off_at_the_cap() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(_gigabyte, "peer-answer-too-large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kilobytes


def test_a_gzip_bomb_is_never_unpacked() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(b" " * 10_000_000) for _ in range(5)) + packer.flush()
    assert len(bomb) < QUICK.max_bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _refused(says(answer(bomb, extra="content-encoding: gzip\r\n")), "peer-answer-too-large")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000


def test_broken_or_unknown_packing() -> None:
    good = gzip.compress(b"[{}]")
    for body in (b"xx", good[:-4], good[:5] + b"\0\0\0" + good[8:-8] + b"12345678"):
        _refused(says(answer(body, extra="content-encoding: gzip\r\n")), "peer-answer-not-json")
    _refused(says(answer(good, extra="content-encoding: br\r\n")), "peer-answer-not-json")


def test_a_redirect_to_another_host_is_not_followed() -> None:
    reached = []

    def other(connection: socket.socket) -> None:
        reached.append(1)
        connection.sendall(answer(b"[{}]"))

    with hostile(other) as elsewhere:
        for status in ("302 Found", "307 Temporary", "308 Permanent"):
            _refused(says(answer(b"", status=status, extra=f"location: {elsewhere}/x\r\n")), "peer-redirect")
    assert reached == []


def test_a_connection_closed_mid_body() -> None:
    _refused(says(answer(b"x" * 1000)[:-500]), "peer-unreachable")
    _refused(says(b""), "peer-unreachable")
    _refused(says(b"SSH-2.0-OpenSSH_9.2\r\n"), "peer-unreachable")


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with PeerClient(f"http://127.0.0.1:{port}", limits=QUICK) as client, pytest.raises(NetworkError) as caught:
        client.fetch_well_known()
    assert caught.value.code == "peer-unreachable"


def test_plain_http_behind_https_and_a_proxy_that_is_none() -> None:
    with hostile(says(answer(b"{}"))) as url:
        with (
            PeerClient(url.replace("http:", "https:"), limits=QUICK) as client,
            pytest.raises(NetworkError) as caught,
        ):
            client.fetch_well_known()
        assert caught.value.code == "peer-timeout"  # it waits for an end of the handshake that never comes
        with PeerClient("http://peer.invalid", limits=QUICK, proxy=url) as client:
            assert client.fetch_well_known() == {}
    with pytest.raises(UsageError, match="network-settings"):
        PeerClient("http://peer.invalid", proxy="nonsense")
    with pytest.raises(UsageError, match="network-settings"):
        PeerClient("http://peer.invalid", ca_file="/nowhere/ca.pem")


def test_the_self_description_is_read_strictly() -> None:
    for body in (b"[]", b'{"a":1,"a":2}', b'{"a":NaN}', b"[" * 10_000, b"\xff"):
        with (
            hostile(says(answer(body))) as url,
            PeerClient(url, limits=QUICK) as client,
            pytest.raises(NetworkError) as caught,
        ):
            client.fetch_well_known()
        assert caught.value.code == "peer-answer-not-json"


@pytest.mark.parametrize(
    "url",
    ["", "hub", "ftp://hub", "file:///etc/passwd", "http://", "http://a:b@hub", "http://hub/?x=1", "http://hub#x"],
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_url(url)
    assert caught.value.code == "url-misspelt"


def test_an_address_loses_its_last_slash() -> None:
    assert check_url("https://hub.example.edu.cn/union/") == "https://hub.example.edu.cn/union"


def test_an_answer_by_another_key_is_a_changed_key() -> None:
    ours, theirs, other = (read_signer(new_private_pem()) for _ in range(3))
    provider = Member(new_identifier("n"), new_identifier("f"), theirs.public_key, is_hub=True)
    problem = json.dumps({"type": "x", "title": "x", "status": 403, "code": "key-unknown"}).encode()
    refusal = answer(problem, status="403 No", kind="application/problem+json")

    def ask(*replies: bytes) -> str:
        waiting = list(replies)
        with (
            hostile(lambda connection: connection.sendall(waiting.pop(0))) as url,
            PeerClient(url, limits=QUICK) as client,
            pytest.raises(TrustError) as caught,
        ):
            Link(client, Speaker(new_identifier("n"), ours), provider).ask("ping", {}, at=datetime.now(UTC))
        return caught.value.code

    def shown(key: str) -> bytes:
        return answer(json.dumps({"key": {"keyid": key}}).encode())

    assert ask(answer(join_page([sign(b"{}", ANSWER_TYPE, other)]))) == "peer-key-changed"
    assert ask(refusal, shown(other.public_key.keyid)) == "peer-key-changed"
    assert ask(refusal, shown(theirs.public_key.keyid)) == "key-unknown"
    assert ask(refusal, answer(b"[]")) == "key-unknown"
    assert ask(answer(b'[{"what":1}]')) == "envelope-shape"


@pytest.mark.parametrize(
    ("told", "wait"),
    [
        ("Sat, 10 Oct 2026 08:02:00 GMT", 120),
        ("Saturday, 10-Oct-26 08:00:30 GMT", 30),
        ("Sat, 10 Oct 2026 07:00:00 GMT", 0),
        ("Sat, 10 Oct 2099 08:00:00 GMT", 86_400),
        ("90", 90),
        ("soon", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date_by_the_senders_clock(told: str, wait: int) -> None:
    headers = {"retry-after": told, "date": "Sat, 10 Oct 2026 08:00:00 GMT"}
    busy = httpx.MockTransport(lambda _: httpx.Response(503, headers=headers))
    with PeerClient("http://peer.example", transport=busy) as client, pytest.raises(NetworkError) as caught:
        client.fetch_page("ping", b"[]")
    assert caught.value.params.get("retry_after_seconds", 0) == wait

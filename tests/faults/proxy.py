"""A hostile network in one process: an HTTP middlebox between two nodes that does to each exchange what it is told.

    pass        nothing                              html           answers a sign-in page with status 200
    delay       answers late                         status         answers 503 and says when to try again
    trickle     answers a few bytes at a time        strip          drops every header that HTTP can do without
    cut-ask     lets half of the request through     cut-answer     lets half of the answer through
    lose        lets the request through, no answer  verbs          refuses all but GET and POST
    duplicate   lets the request through twice       replay         sends an old request again beside the new one
    reorder     holds requests back, and lets them through later, the last one first

It also speaks as a forward proxy (absolute addresses and CONNECT), and as one that opens TLS with its own authority.
What to do is read from a file at each request: one name, or several by commas, from which a seeded die chooses.
"""

import random
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

PAGE = "<!doctype html><html><title>校园网认证</title><p>请先登录</p></html>".encode()
NEEDED = {b"host", b"content-length", b"transfer-encoding", b"content-type", b"connection"}
FAULTS = (
    "pass", "delay", "trickle", "cut-ask", "cut-answer", "lose", "duplicate", "replay", "reorder", "html", "status",
)  # fmt: skip
DELAY_SECONDS = 0.3


@dataclass
class Message:
    """One HTTP message: first line, header lines, body."""

    first: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def write(self) -> bytes:
        lines = [self.first, *(name + b": " + value for name, value in self.headers)]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


@dataclass
class Middlebox:
    """One proxy. `upstream` is host and port; in a forward proxy the request says where to."""

    upstream: tuple[str, int] | None
    wanted: Path
    log: Path
    dice: random.Random
    authority: ssl.SSLContext | None = None
    kept: deque[tuple[tuple[str, int], bytes]] = field(default_factory=lambda: deque(maxlen=20))
    held: list[tuple[tuple[str, int], bytes]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def serve(self, connection: socket.socket) -> None:
        """Answer requests on one connection until it ends."""
        try:
            with connection:
                self._converse(connection, self.upstream)
        except (OSError, ValueError):
            return

    def _converse(self, connection: socket.socket, upstream: tuple[str, int] | None) -> None:
        while (asked := read_message(connection)) is not None:
            method, target = asked.first.split(b" ")[:2]
            if method == b"CONNECT" and self.authority is not None:
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with self.authority.wrap_socket(connection, server_side=True) as inside:
                    self._converse(inside, self.upstream)
                return
            if target.startswith(b"http://"):
                parts = urlsplit(target.decode())
                upstream = upstream or (parts.hostname or "", parts.port or 80)
                asked.first = asked.first.replace(target, parts.path.encode() or b"/")
            if upstream is None or not self._exchange(connection, upstream, asked):
                return

    def _exchange(self, connection: socket.socket, upstream: tuple[str, int], asked: Message) -> bool:
        """Do what the die says; tell whether the connection may go on."""
        with self.lock:
            fault = self.dice.choice(self.wanted.read_text("utf-8").strip().split(","))
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{fault} {asked.first.split(b' ')[1].decode()}\n")
        refusal = _refuse(fault, asked)
        if refusal is not None:
            connection.sendall(refusal.write())
            return True
        if fault == "strip":
            asked.headers = _needed(asked.headers)
        ask = asked.write()
        match fault:
            case "cut-ask":
                send_only(upstream, ask[: len(ask) // 2])
                return False
            case "reorder":
                self._hold(upstream, ask)
                return False
            case "duplicate":
                fetch(upstream, ask)
            case "replay":
                for place, old in list(self.kept):
                    fetch(place, old)
        answer = fetch(upstream, ask)
        self.kept.append((upstream, ask))
        if fault == "strip":
            answer.headers = _needed(answer.headers)
        return self._give(connection, answer, fault)

    def _give(self, connection: socket.socket, answer: Message, fault: str) -> bool:
        data = answer.write()
        match fault:
            case "lose":
                return False
            case "cut-answer":
                connection.sendall(data[: self.dice.randint(1, len(data) - 1)])
                return False
            case "delay":
                time.sleep(DELAY_SECONDS)
            case "trickle":
                size = max(1, len(data) // 40)
                for start in range(0, len(data), size):
                    connection.sendall(data[start : start + size])
                    time.sleep(0.005)
                return True
            case "byte-a-second":
                for byte in data:
                    connection.sendall(bytes([byte]))
                    time.sleep(1)
        connection.sendall(data)
        return True

    def _hold(self, upstream: tuple[str, int], ask: bytes) -> None:
        """Keep requests back until three are there, then let them through backwards."""
        with self.lock:
            self.held.append((upstream, ask))
            due = self.held[::-1] if len(self.held) >= 3 else []
            if due:
                self.held.clear()
        for place, old in due:
            fetch(place, old)


def run_proxy(
    port: int, upstream: tuple[str, int] | None, wanted: str, log: str, seed: int, tls: str = "", connect: str = ""
) -> None:
    """Serve on `port` for ever. `tls` and `connect` are files of key and certificate: for all, for tunnels."""
    box = Middlebox(upstream, Path(wanted), Path(log), random.Random(seed), _context(connect))  # noqa: S311  a die
    outside = _context(tls)
    with socket.create_server(("127.0.0.1", port), backlog=128) as listener:
        print("ready", flush=True)  # noqa: T201  the test waits for it
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_welcome, args=(box, connection, outside), daemon=True).start()


def _welcome(box: Middlebox, connection: socket.socket, outside: ssl.SSLContext | None) -> None:
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inner = outside.wrap_socket(connection, server_side=True) if outside else connection
    except OSError:
        connection.close()
        return
    box.serve(inner)


def _context(file: str) -> ssl.SSLContext | None:
    if not file:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def read_message(connection: socket.socket) -> Message | None:
    """Read one HTTP message whole; None where the other side has ended."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65_536)
        if not more:
            return None
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
    told = dict(headers)
    if told.get(b"transfer-encoding") == b"chunked":
        headers = [item for item in headers if item[0] != b"transfer-encoding"]
        body = _unchunk(connection, body)
        headers.append((b"content-length", str(len(body)).encode()))
    length = int(told.get(b"content-length", len(body)))
    while len(body) < length:
        more = connection.recv(65_536)
        if not more:
            return None
        body += more
    return Message(first, headers, body)


def _unchunk(connection: socket.socket, data: bytes) -> bytes:
    while not data.endswith(b"0\r\n\r\n"):
        more = connection.recv(65_536)
        if not more:
            break
        data += more
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
        if size == b"0":
            break
    return body


def fetch(upstream: tuple[str, int], ask: bytes) -> Message:
    """Ask the node behind; a node that is not there is an answer 502."""
    try:
        with socket.create_connection(upstream, timeout=30) as behind:
            behind.sendall(ask)
            answer = read_message(behind)
    except OSError:
        answer = None
    return answer or _answer(b"502 Bad Gateway", b"text/html", PAGE)


def send_only(upstream: tuple[str, int], part: bytes) -> None:
    with socket.create_connection(upstream, timeout=5) as behind:
        behind.sendall(part)


def _refuse(fault: str, asked: Message) -> Message | None:
    """Return what the middlebox says in the place of the node behind it, None where it lets the request through."""
    match fault:
        case "html":
            return _answer(b"200 OK", b"text/html; charset=utf-8", PAGE)
        case "status":
            return _answer(b"503 Service Unavailable", b"text/plain", b"busy", (b"retry-after", b"1"))
        case "verbs" if asked.first.split(b" ")[0] not in {b"GET", b"POST"}:
            return _answer(b"405 Method Not Allowed", b"text/plain", b"no")
    return None


def _answer(status: bytes, kind: bytes, body: bytes, *more: tuple[bytes, bytes]) -> Message:
    length = (b"content-length", str(len(body)).encode())
    return Message(b"HTTP/1.1 " + status, [(b"content-type", kind), length, *more], body)


def _needed(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [item for item in headers if item[0] in NEEDED]

"""The one module that opens sockets: bounded in bytes and time, no redirects, JSON only.

A peer may be slow, broken or hostile. Whatever it does, a call ends by its deadline, holds no more than its cap in
memory (before and after decompression), goes nowhere but to the address it was given, and raises one clear error:

    peer-unreachable       no connection, or it broke off          peer-redirect        it points elsewhere
    peer-timeout           the whole answer was not there in time  peer-error-status    an HTTP error without a problem
    peer-answer-too-large  beyond the cap, packed or unpacked      peer-answer-not-json another type, or broken packing

A refusal as an RFC 9457 problem keeps its own code. It is not signed: its code is shown, nothing is believed of it.
An answer counts only when `open_answer` has verified it. Nothing here stores or retries.
"""

import heapq
import re
import secrets
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import httpx
from securesystemslib.signer import Signer

from federation.addresses import Network, check_address, is_literal
from federation.documents import read_object
from federation.envelope import join_page, read_envelope
from federation.errors import GonghuiError, NetworkError, TrustError, UsageError
from federation.keys import Member
from federation.request import MAX_PAGE_BYTES, Answer, build_request, open_answer
from federation.validation import check_schema

WELL_KNOWN = "/.well-known/gonghui"
EXCHANGE = "/exchange/v1/"
MEMBERSHIP = "membership/"
MAX_SMALL_BYTES = 65_536  # the self-description and problems
MAX_RETRY_AFTER = 86_400  # seconds
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True)
class Limits:
    """How long and how much one call may take. `total_seconds` spans from the first byte sent to the last received."""

    connect_seconds: float = 5.0
    total_seconds: float = 20.0
    max_bytes: int = MAX_PAGE_BYTES


@dataclass(frozen=True)
class Speaker:
    """Who speaks: our node id and signing key."""

    node_id: str
    signer: Signer


def check_url(url: str) -> str:
    """Return the address of a node without its last slash; raise UsageError where it is no plain http(s) address."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        parsed = httpx.URL("")
    plain = not (parsed.userinfo or parsed.query or parsed.fragment)
    if parsed.scheme not in {"http", "https"} or not parsed.host or not plain:
        raise UsageError(
            "url-misspelt",
            "地址应写成 https://主机 或 http://主机:端口。",
            "Write an address as https://host or http://host:port.",
        )
    return url.rstrip("/")


class PeerClient:
    """Calls to one peer, one at a time. Use as a context manager; `transport` replaces the network in tests."""

    def __init__(
        self,
        url: str,
        *,
        limits: Limits | None = None,
        proxy: str = "",
        ca_file: str = "",
        networks: Sequence[Network] = (),
        client_certificate: str = "",
        client_key: str = "",
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Prepare for the peer at `url`; nothing is sent yet. Proxies and CAs of the environment are not used."""
        self.url = check_url(url)
        self._host = httpx.URL(self.url).host
        self.limits = limits or Limits()
        self._networks = networks
        self._watch = _Watch(None if proxy else networks)  # behind a proxy the site's own proxy decides
        try:
            self._http = httpx.Client(
                timeout=httpx.Timeout(self.limits.total_seconds, connect=self.limits.connect_seconds),
                headers={"accept": "application/json", "accept-encoding": "gzip", "user-agent": "gonghui"},
                follow_redirects=False,
                trust_env=False,
                verify=_tls_context(ca_file, _changed_at(ca_file), client_certificate, client_key),
                proxy=proxy or None,
                transport=transport,
            )
        except (OSError, ValueError) as error:
            raise UsageError(
                "network-settings",
                "出站代理或 CA 文件的设置不对，请检查 exchange.proxy、ca_file 与 client_certificate。",
                "Proxy, CA file or client certificate cannot be used; check them in section [exchange].",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._http.close()

    def fetch_well_known(self) -> dict[str, Any]:
        """Fetch what the peer says of itself, read strictly; nothing of it is believed before its key was compared."""
        try:
            return read_object(self._fetch("GET", WELL_KNOWN, b"", MAX_SMALL_BYTES))
        except TrustError as error:
            if error.code.startswith(("json-", "document-")):
                _refuse_type()
            raise

    def fetch_page(self, op: str, body: bytes) -> bytes:
        """Post a page to one endpoint of the exchange and return the page it answers, unverified."""
        return self._fetch("POST", EXCHANGE + op, body, self.limits.max_bytes)

    def fetch_membership(self, path: str, max_bytes: int = MAX_PAGE_BYTES, *, federation: str = "") -> bytes | None:
        """Fetch one file of the peer's copy of the member list, unverified; return None where it has none such.

        `federation` says of which, for a peer that may be in several; "" is its own where it is a hub.
        """
        return self.fetch_file(MEMBERSHIP + path + (f"?federation={federation}" if federation else ""), max_bytes)

    def fetch_file(self, path: str, max_bytes: int = MAX_PAGE_BYTES) -> bytes | None:
        """Fetch what lies at `/exchange/v1/<path>`, unverified; return None where there is nothing."""
        try:
            return self._fetch("GET", EXCHANGE + path, b"", max_bytes)
        except NetworkError as error:
            if error.params.get("status") == 404:
                return None
            raise

    def _fetch(self, method: str, path: str, body: bytes, max_bytes: int) -> bytes:
        deadline = time.monotonic() + self.limits.total_seconds
        if is_literal(self._host):
            check_address(self._host, self._networks)
        headers = {"content-type": "application/json"} if body else {}
        with (
            self._watch.until(self.limits.total_seconds) as extensions,
            _network_errors(self._watch),
            self._http.stream(
                method, self.url + path, content=body or None, headers=headers, extensions=extensions
            ) as response,
        ):
            if 300 <= response.status_code < 400:
                raise NetworkError(
                    "peer-redirect",
                    "对端要求转到别的地址，已拒绝。请核对地址。",
                    "The peer redirects elsewhere, which is refused. Check its address.",
                )
            kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
            if response.status_code != 200:
                small = kind == "application/problem+json"
                problem = _read_body(response, MAX_SMALL_BYTES, deadline) if small else b""
                _raise_status(response.status_code, problem, _read_wait(response.headers))
            if kind != "application/json":
                _refuse_type()
            return _read_body(response, max_bytes, deadline)


@dataclass(frozen=True)
class Link:
    """Signed conversation with one provider over one client: every answer is verified before anybody sees it."""

    client: PeerClient
    us: Speaker
    provider: Member

    def ask(self, op: str, body: Mapping[str, Any], enclosed: Sequence[bytes] = (), *, at: datetime) -> Answer:
        """Send the request `op` with `enclosed` envelopes and return the verified answer.

        Raise NetworkError, or TrustError: `peer-key-changed` where another key than the pinned one has signed.
        """
        request = build_request(
            self.us.signer,
            op=op,
            origin=self.us.node_id,
            audience=self.provider.id,
            federation=self.provider.federation,
            body=dict(body),
            at=at,
            nonce=secrets.token_urlsafe(16),
        )
        try:
            page = self.client.fetch_page(op, join_page([request, *enclosed]))
        except TrustError as error:
            self._check_key(error)
            raise
        try:
            return open_answer(
                page,
                provider=self.provider,
                op=op,
                audience=self.us.node_id,
                request_id=read_envelope(request).id,
            )
        except TrustError as error:
            if error.code == "key-not-signer":
                raise _key_changed() from error
            raise

    def _check_key(self, refusal: TrustError) -> None:
        """Tell a peer that refuses because it became another from one that refuses for a reason of ours."""
        try:
            shown = self.client.fetch_well_known().get("key")
        except GonghuiError:
            return
        keyid = shown.get("keyid") if isinstance(shown, dict) else None
        if isinstance(keyid, str) and keyid not in {key.keyid for key in self.provider.keys}:
            raise _key_changed() from refusal


@lru_cache(maxsize=8)
def _tls_context(ca_file: str, _changed: int, certificate: str, key: str) -> ssl.SSLContext:
    """Return what is trusted, and by which certificate we show who we are; raise OSError.

    Built once, as it costs more than a whole visit, and anew when the CA file changes.
    """
    context = ssl.create_default_context(cafile=ca_file or None)
    if certificate:
        context.load_cert_chain(certificate, key or None, password="")  # never ask at a terminal
    return context


def _changed_at(ca_file: str) -> int:
    return Path(ca_file).stat().st_mtime_ns if ca_file else 0


def _key_changed() -> TrustError:
    return TrustError(
        "peer-key-changed",
        "对端的密钥与已核对的指纹不同，已拒绝。请电话核实，不要直接接受。",
        "The peer's key is not the one whose fingerprint was compared; refused. Ask its people by telephone.",
    )


@dataclass(order=True)
class _Alarm:
    """What is done at a time, unless it is dropped before."""

    at: float
    ring: Callable[[], None] | None = field(compare=False)


class _Alarms:
    """One thread that rings for all calls of a process: a timer's thread for each would cost more than the call."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._alarms: list[_Alarm] = []
        self._thread: threading.Thread | None = None

    def set(self, seconds: float, ring: Callable[[], None]) -> _Alarm:
        """Ring in so many seconds, from another thread; `ring` must not wait."""
        alarm = _Alarm(time.monotonic() + seconds, ring)
        with self._changed:
            heapq.heappush(self._alarms, alarm)
            if self._thread is None or not self._thread.is_alive():  # the first call, also of a forked process
                self._thread = threading.Thread(target=self._wait, name="deadlines", daemon=True)
                self._thread.start()
            elif self._alarms[0] is alarm:
                self._changed.notify()
        return alarm

    def drop(self, alarm: _Alarm) -> None:
        """Do not ring; once this has returned, it does not."""
        with self._changed:
            alarm.ring = None

    def _wait(self) -> None:
        with self._changed:
            while True:
                wait = self._alarms[0].at - time.monotonic() if self._alarms else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                ring = heapq.heappop(self._alarms).ring
                if ring is not None:
                    ring()


_ALARMS = _Alarms()


class _Watch:
    """Ends a call at its deadline, even while the other side drips header bytes: timeouts of sockets start anew."""

    def __init__(self, networks: Sequence[Network] | None) -> None:
        self._networks = networks
        self.expired = False
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    @contextmanager
    def until(self, seconds: float) -> Iterator[dict[str, Any]]:
        """Watch the calls within the block; give the httpx extensions which they need."""
        self.expired = False
        alarm = _ALARMS.set(seconds, self._expire)
        try:
            yield {"trace": self._trace}
        finally:
            _ALARMS.drop(alarm)

    def _trace(self, event: str, info: Mapping[str, Any]) -> None:
        if not event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            return
        with self._lock:
            self._socket = info["return_value"].get_extra_info("socket")
            if self.expired:
                self._cut()
        if self._networks is not None and event.endswith(".connect_tcp.complete"):
            self._check_address()

    def _check_address(self) -> None:
        """Look at whom we reached, before anything is sent."""
        try:
            address = self._socket.getpeername()[0] if self._socket else ""
        except OSError:  # cut or broken off already: there is nobody to send to
            return
        try:
            check_address(address, self._networks or ())
        except NetworkError:
            if self._socket is not None:  # the pool does not know of it yet
                self._socket.close()
                self._socket = None
            raise

    def _expire(self) -> None:
        with self._lock:
            self.expired = True
            self._cut()

    def _cut(self) -> None:
        """Wake whoever reads: closing would not, shutting down does."""
        if self._socket is not None:
            try:
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return


@contextmanager
def _network_errors(watch: _Watch) -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise _timeout() from error
    except (httpx.TransportError, ssl.SSLError, OSError) as error:
        if watch.expired:
            raise _timeout() from error
        raise NetworkError(
            "peer-unreachable",
            "连不上对端，或连接中断。请检查地址、网络、代理和证书。",
            "The peer cannot be reached, or broke off. Check address, network, proxy and certificate.",
            reason=type(error).__name__,
        ) from error


def _timeout() -> NetworkError:
    return NetworkError(
        "peer-timeout", "对端没有在限定时间内答复。", "The peer did not answer within the time allowed."
    )


def _refuse_type() -> NoReturn:
    raise NetworkError(
        "peer-answer-not-json",
        "对端的答复不是 JSON（可能是登录页或防火墙页面）。",
        "The peer's answer is not JSON (perhaps a sign-in or firewall page).",
    )


def _read_body(response: httpx.Response, max_bytes: int, deadline: float) -> bytes:
    """Read within all bounds. What is packed is unpacked here, never further than the cap."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip"}:
        _refuse_type()
    unzip = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    body = bytearray()
    for chunk in _chunks(response, max_bytes, deadline):
        try:
            body += unzip.decompress(chunk, max_bytes + 1 - len(body)) if unzip else chunk
        except zlib.error:
            _refuse_type()
        if len(body) > max_bytes:
            _too_large(max_bytes)
    if time.monotonic() > deadline:  # cut off by the watch, which may look like an end
        raise _timeout()
    if unzip and not unzip.eof:
        _refuse_type()
    return bytes(body)


def _chunks(response: httpx.Response, max_bytes: int, deadline: float) -> Iterable[bytes]:
    received = 0
    for chunk in response.iter_raw():
        received += len(chunk)
        if received > max_bytes:
            _too_large(max_bytes)
        if time.monotonic() > deadline:
            raise _timeout()
        yield chunk


def _too_large(max_bytes: int) -> NoReturn:
    raise NetworkError(
        "peer-answer-too-large",
        f"对端的答复超过 {max_bytes} 字节，已中断。",
        f"The peer's answer is larger than {max_bytes} bytes; it was cut off.",
    )


def _read_wait(headers: httpx.Headers) -> int:
    """Return how long `Retry-After` asks us to wait, at most a day; 0 where it says nothing that can be read.

    It is a number of seconds or a date, which is compared with the sender's own `Date`: its clock may differ from ours.
    """
    told = headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return min(int(told), MAX_RETRY_AFTER)
    until, since = _read_date(told), _read_date(headers.get("date", "")) or datetime.now(UTC)
    wait = round((until - since).total_seconds()) if until else 0
    return min(max(wait, 0), MAX_RETRY_AFTER)


def _read_date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _raise_status(status: int, problem: bytes, wait_seconds: int) -> NoReturn:
    """Raise what a refusal says, by its code; its words are a stranger's and are left out.

    Where it names a time to wait, that goes along as `retry_after_seconds`.
    """
    wait = {"retry_after_seconds": wait_seconds} if wait_seconds else {}
    if problem:
        try:
            told = read_object(problem, max_bytes=MAX_SMALL_BYTES)
            check_schema("problem.v1", told)
        except TrustError:
            told = {}
        if told.get("code"):
            _raise_problem(status, told, wait)
    raise NetworkError(
        "peer-error-status",
        f"对端返回错误 {status}。",
        f"The peer answered with error {status}.",
        status=status,
        **wait,
    )


def _raise_problem(status: int, told: Mapping[str, Any], wait: Mapping[str, int]) -> NoReturn:
    code = told["code"]
    params = {name: told[name] for name in ("server_time", "skew_seconds") if name in told} | dict(wait)
    kind = TrustError if status == TrustError.http_status else NetworkError
    if code == "clock-skew" and "skew_seconds" in params:
        minutes = round(abs(params["skew_seconds"]) / 60)
        raise TrustError(
            code,
            f"本机与对端的时钟相差约 {minutes} 分钟，请校准时间后重试。",
            f"This machine's clock and the peer's differ by about {minutes} minutes; set the clock and try again.",
            **params,
        )
    raise kind(code, f"对端拒绝了请求（{code}）。", f"The peer refused the request ({code}).", status=status, **params)

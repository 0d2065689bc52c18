"""`gonghui serve`: pages, exchange and scheduler in one process, until SIGTERM or Ctrl-C.

The listening socket is opened before anything else, so that a port in use is told in a sentence.
"""

import logging
import signal
import socket
import ssl
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
import uvicorn

from federation.errors import NetworkError, UsageError
from node.cli.memory import give_large_buffers_back, keep_memory_private
from node.cli.state import OUT, State, print_json
from node.context import Node

STOP_SECONDS = 5


def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="监听地址，默认按配置 / address, default as configured")] = "",
    port: Annotated[int, typer.Option(min=-1, max=65535, help="端口；0 任选 / port; 0: any free one")] = -1,
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """运行节点 / run the node.  Example: gonghui --config my-node/config.toml serve."""
    from node.app import create_app
    from node.http.access_log import AccessLog

    state: State = context.obj
    keep_memory_private()  # before any key is read
    give_large_buffers_back()
    node = state.node.within("")  # serves and synchronises all its federations
    tls = _tls_files(node)
    _start_log(node.settings.log.level)
    server = node.settings.server
    with closing(_listen(host or server.host, server.port if port < 0 else port)) as listener:
        config = uvicorn.Config(
            AccessLog(create_app(node)),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=STOP_SECONDS,
            **tls,
        )
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again after its shutdown: an orderly end
            signal.signal(number, lambda *_: None)
        jobs = _start_jobs(node)
        try:
            _Server(config, _address(listener, secure=bool(tls)), as_json=as_json).run(sockets=[listener])
        finally:
            if jobs is not None:
                jobs.shutdown(wait=False)
            node.database.close()


class _Server(uvicorn.Server):
    """Tells the address once it answers there."""

    def __init__(self, config: uvicorn.Config, address: str, *, as_json: bool) -> None:
        super().__init__(config)
        self._address = address
        self._as_json = as_json

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.started:
            return
        if self._as_json:
            print_json({"url": self._address})
        else:
            OUT.print(f"节点运行于 / serving at {self._address}（Ctrl-C 结束 / ends it）", highlight=False)
        OUT.file.flush()


def _start_jobs(node: Node) -> Any:
    """Start the scheduler unless the configuration says no."""
    from node.handlers import HANDLERS
    from node.jobs import start_jobs

    return start_jobs(node, HANDLERS) if node.settings.sync.enabled else None


def _listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; raise NetworkError with the mend."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise NetworkError("address-unknown", f"没有监听地址 {host}。", f"There is no address {host}.") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise NetworkError(
            "port-in-use",
            f"无法监听 {host}:{port}（{error.strerror}）。请停掉占用者，或用 --port 换一个端口。",
            f"Cannot listen on {host}:{port} ({error.strerror}). Stop what holds it, or choose another with --port.",
        ) from error
    return listener


def _address(listener: socket.socket, *, secure: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if secure else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _tls_files(node: Node) -> dict[str, Any]:
    """Return uvicorn's TLS options; raise UsageError where the files do not fit."""
    server = node.settings.server
    if not server.tls_certificate:
        return {}
    certificate = node.folder / server.tls_certificate
    key: Path = node.folder / server.tls_key if server.tls_key else certificate
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if server.tls_client_ca:
            context.load_verify_locations(node.folder / server.tls_client_ca)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            "tls-files",
            "证书或私钥文件读不到或不配对，请检查 [server] tls_certificate 和 tls_key。",
            "Certificate and key cannot be read or do not belong together; see [server] tls_certificate and tls_key.",
        ) from error
    options: dict[str, Any] = {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
    if server.tls_client_ca:
        options |= {"ssl_ca_certs": str(node.folder / server.tls_client_ca), "ssl_cert_reqs": ssl.CERT_REQUIRED}
    return options


def _start_log(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for name in ("httpx", "httpcore", "apscheduler"):  # they would log addresses with their query
        logging.getLogger(name).setLevel(logging.WARNING)

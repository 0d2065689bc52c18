"""`gonghui serve`: tells its address, ends in order, says what is wrong, and logs nothing that names a person."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from federation.errors import Conflict
from node.cli.owners import check_owners
from node.founding import found_node
from tests.cli.conftest import ROOT, Gonghui, Served, environment

Serve = Callable[..., Served]


def test_it_serves_logs_routes_only_and_ends_with_0(tmp_path: Path, serve: Serve) -> None:
    made = found_node(tmp_path / "n", {"sync.enabled": False}, admin="admin")
    served = serve(made.config, afresh=True)
    answer = httpx.get(f"{served.url}/.well-known/gonghui?name=张三", trust_env=False)
    assert answer.json()["node"] == made.node_id
    assert httpx.get(f"{served.url}/no/such/zhangsan", trust_env=False).status_code == 404
    assert served.stop() == 0
    log = served.log.read_text(encoding="utf-8")
    assert "GET /.well-known/gonghui 200" in log
    assert "name=" not in log
    assert "zhangsan" not in log


def test_a_port_in_use_is_told(tmp_path: Path, gonghui: Gonghui) -> None:
    made = found_node(tmp_path / "n", {}, admin="admin")
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        said = gonghui("--config", made.config, "serve", "--port", str(holder.getsockname()[1]))
    assert said.code == 6
    assert "port-in-use" in said.error
    assert "--port" in said.error
    assert gonghui("--config", made.config, "serve", "--host", "no-such-host.invalid").code == 6


def test_https_with_a_certificate_of_ones_own(tmp_path: Path, serve: Serve, gonghui: Gonghui) -> None:
    made = found_node(tmp_path / "n", {"server.tls_certificate": "tls.pem", "sync.enabled": False}, admin="admin")
    said = gonghui("--config", made.config, "serve", "--port", "0")
    assert said.code == 2
    assert "tls-files" in said.error
    (tmp_path / "n" / "tls.pem").write_bytes(certificate())
    served = serve(made.config)
    assert served.url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context(cafile=str(tmp_path / "n" / "tls.pem"))
    context.check_hostname = False
    assert httpx.get(f"{served.url}/.well-known/gonghui", verify=context, trust_env=False).status_code == 200
    assert served.stop() == 0


def certificate(days: int = 1) -> bytes:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    today = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - timedelta(days=1))
        .not_valid_after(today + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, None)
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM) + private


def test_a_name_with_two_owners_stops_the_program() -> None:
    check_owners({"node": ["gonghui-node"], "httpx": ["httpx"]})
    check_owners({})
    with pytest.raises(Conflict, match="import-name-taken") as caught:
        check_owners({"schemas": ["gonghui-node", "schemas-of-others"]})
    assert "schemas-of-others" in caught.value.text.zh


def test_the_guard_looks_at_the_real_environment(tmp_path: Path, gonghui: Gonghui) -> None:
    """A distribution laid into the path as pip would lay it is found at start-up."""
    other = tmp_path / "site"
    (other / "federation").mkdir(parents=True)
    (other / "federation" / "__init__.py").write_text("")
    info = other / "federation_of_others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: federation-of-others\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("federation\n")
    (info / "RECORD").write_text("federation/__init__.py,,\n")
    env = {**environment(), "PYTHONPATH": f"{ROOT}:{other}"}
    done = subprocess.run(
        [sys.executable, "-m", "node", "--help"], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 7
    assert "federation-of-others" in done.stderr

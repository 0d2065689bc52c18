"""`gonghui key`: locked files, shares on paper, a renewed sealing key, a security module; keys are nowhere else."""

import base64
import gc
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlmodel import select
from typer.testing import CliRunner

from federation.envelope import check_signature, read_envelope, sign
from federation.errors import GonghuiError, StorageError, UsageError
from federation.keys import public_pem, sealing_public
from federation.lockbox import is_locked
from node.audit.models import AuditEntry
from node.cli import make_app
from node.clock import now
from node.context import Node, open_node
from node.doctor import ERROR, OK, WARNING, examine
from node.founding import Founding, found_node
from node.stream.marks import MARK_FILE
from node.stream.models import Peer
from tests.cli.conftest import ROOT, Gonghui, Said, Served, environment
from tests.cli.test_serve import certificate

PASSPHRASE = "eine lange Losung 工会"
NAMES = ("node.key", "node.seal", "node.secret")
Run = Callable[..., Served]


@pytest.fixture
def quick() -> Gonghui:
    """Run a command within this process: what it says is the same, and a loaded machine starts nothing anew."""

    def run(*words: str | Path, **options: object) -> Said:
        result = CliRunner().invoke(make_app(), [str(word) for word in words])
        gc.collect()  # a command's node ends with its process
        if isinstance(result.exception, GonghuiError):
            return Said(result.exception.exit_code, result.output, f"{result.exception} {result.exception.text.zh}")
        assert result.exception is None, result.exception
        return Said(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def made(tmp_path: Path) -> Founding:
    """A founded node with a passphrase at hand, which nothing is locked under yet."""
    found = found_node(tmp_path / "n", {"keys.passphrase_file": "", "sync.enabled": False}, admin="admin")
    (tmp_path / "passphrase").write_text(PASSPHRASE + "\n", encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    text = found.config.read_text(encoding="utf-8").replace(
        'passphrase_file = ""', f'passphrase_file = "{tmp_path}/passphrase"'
    )
    found.config.write_text(text, encoding="utf-8")
    return found


@pytest.fixture
def key(quick: Gonghui, made: Founding) -> Callable[..., object]:
    """Run `gonghui key …` as the administrator; give what it printed as JSON."""

    def run(*words: str | Path) -> object:
        said = quick("--config", made.config, "--token-file", made.token_file, "key", *words, "--json")
        assert said.code == 0, said.error
        return said.json

    return run


def _opened(config: Path) -> Node:
    node = open_node(config)
    node.database.close()
    return node


def _secrets(node: Node) -> tuple[str, bytes, list[str]]:
    return node.signer.public_key.keyid, node.secret, [sealing_public(k) for k in node.sealing_keys]


def test_files_are_locked_and_unlocked_in_place(made: Founding, key: Callable[..., object]) -> None:
    folder = made.config.parent
    before = {name: (folder / name).read_bytes() for name in NAMES}
    held = _secrets(_opened(made.config))
    assert key("protect") == {"changed": ["node.key", "node.secret", "node.seal"]}
    assert all(is_locked((folder / name).read_bytes()) for name in NAMES)
    assert _secrets(_opened(made.config)) == held
    key("rotate-seal")
    assert all(is_locked(path.read_bytes()) for path in folder.glob("node.*"))
    assert key("protect") == {"changed": []}
    assert key("unprotect") == {"changed": ["node.key", "node.secret", "node.seal", "node.seal.1"]}
    assert {name: (folder / name).read_bytes() for name in ("node.key", "node.secret")} == {
        name: before[name] for name in ("node.key", "node.secret")
    }
    assert (folder / "node.seal.1").read_bytes() == before["node.seal"]
    assert {path.stat().st_mode & 0o777 for path in folder.glob("node.*")} == {0o600}
    node = open_node(made.config)
    with node.database.read() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    node.database.close()
    assert actions == ["node.init", "key.protect", "key.rotate-seal", "key.protect", "key.unprotect"]


def test_a_lost_key_is_made_anew_and_none_is_overwritten(
    made: Founding, key: Callable[..., object], quick: Gonghui
) -> None:
    path = made.config.parent / "node.key"
    before = path.read_bytes()
    new = ("--config", made.config, "key", "new", "--json")
    said = quick(*new)
    assert (said.code, "key-exists" in said.error, path.read_bytes()) == (7, True, before)
    path.unlink()
    with pytest.raises(StorageError, match="gonghui key new"):
        open_node(made.config)
    told = quick(*new).json
    assert is_locked(path.read_bytes()), "under the passphrase that the node's other files would get"
    assert key("show")["fingerprint"] == told["fingerprint"]  # type: ignore[index]


def test_without_the_passphrase_nothing_opens_and_nothing_changes(
    made: Founding, key: Callable[..., object], quick: Gonghui, tmp_path: Path
) -> None:
    key("protect")
    locked = {name: (made.config.parent / name).read_bytes() for name in NAMES}
    show = ("--config", made.config, "--token-file", made.token_file, "key", "unprotect")
    (tmp_path / "passphrase").write_text("eine andere Losung\n", encoding="utf-8")
    said = quick(*show)
    assert (said.code, "unlock-failed" in said.error) == (5, True)
    (tmp_path / "passphrase").chmod(0o640)
    said = quick(*show)
    assert (said.code, "key-file-open" in said.error) == (8, True)
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(re.sub("passphrase_file = .*", 'passphrase_file = ""', text), encoding="utf-8")
    with pytest.raises(UsageError, match="passphrase-missing"):
        open_node(made.config)
    assert {name: (made.config.parent / name).read_bytes() for name in NAMES} == locked


def test_the_passphrase_may_come_from_systemd_or_the_environment(
    made: Founding, key: Callable[..., object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key("protect")
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(re.sub("passphrase_file = .*", 'passphrase_file = ""', text), encoding="utf-8")
    monkeypatch.setenv("GONGHUI_PASSPHRASE", PASSPHRASE)
    _opened(made.config)
    monkeypatch.setenv("GONGHUI_PASSPHRASE", "the credential goes first")
    (tmp_path / "credentials").mkdir()
    (tmp_path / "passphrase").rename(tmp_path / "credentials" / "gonghui-passphrase")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    _opened(made.config)


def test_a_node_may_be_founded_locked(quick: Gonghui, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text(PASSPHRASE, encoding="utf-8")
    (tmp_path / "passphrase").chmod(0o600)
    said = quick("init", tmp_path / "n", "--set", f"keys.passphrase_file={tmp_path}/passphrase", "--json")
    assert said.code == 0, said.error
    assert all(is_locked((tmp_path / "n" / name).read_bytes()) for name in NAMES)
    _opened(Path(said.json["config"]))


@pytest.mark.parametrize("name", NAMES)
def test_a_key_that_others_may_read_stops_everything(made: Founding, name: str) -> None:
    (made.config.parent / name).chmod(0o604)
    with pytest.raises(StorageError, match="key-file-open") as caught:
        open_node(made.config)
    assert f"chmod 600 {made.config.parent / name}" in caught.value.text.zh
    finding = next(finding for finding in examine(made.config) if finding.check == name)
    assert (finding.state, finding.mend.zh) == (ERROR, f"chmod 600 {made.config.parent / name}")


def test_any_three_shares_bring_a_lost_node_back(
    made: Founding, key: Callable[..., object], quick: Gonghui, tmp_path: Path
) -> None:
    def state() -> str:
        return next(finding for finding in examine(made.config) if finding.check == "backup").state

    assert state() == WARNING
    key("protect")
    (tmp_path / "taken").mkdir()
    with pytest.raises(AssertionError, match="taken"):
        key("backup", "--out", tmp_path / "taken")
    assert state() == WARNING, "no file was written"
    key("backup", "--shares", "5", "--threshold", "3", "--out", tmp_path / "paper")
    assert state() == OK
    key("unprotect")
    assert state() == OK, "the same keys, whether locked or not"
    written = {path.name: path for path in (tmp_path / "paper").iterdir()}
    assert sorted(written) == ["keys.backup", *(f"share-{n}.txt" for n in range(1, 6))]
    assert {path.stat().st_mode & 0o777 for path in written.values()} == {0o600}
    held = _secrets(_opened(made.config))
    for name in NAMES:
        (made.config.parent / name).unlink()
    assert quick("--config", made.config, "key", "show").code == 8

    def restore(*numbers: int) -> tuple[int, str]:
        shares = [word for n in numbers for word in ("--share", tmp_path / "paper" / f"share-{n}.txt")]
        said = quick("--config", made.config, "key", "restore", written["keys.backup"], *shares)
        return said.code, said.error

    code, error = restore(1, 4)
    assert (code, "shares-unfit" in error) == (3, True)
    words = written["share-1.txt"].read_text(encoding="utf-8").splitlines()[-1]
    assert words not in error
    assert restore(5, 1, 4)[0] == 0
    assert _secrets(_opened(made.config)) == held
    assert is_locked((made.config.parent / "node.key").read_bytes()), "a passphrase is set, so it locks again"
    assert restore(1, 2, 3)[0] == 0, "twice does no harm"
    key("rotate-seal")
    assert state() == WARNING, "the backup lacks the newest key"
    code, error = restore(1, 2, 3)
    assert (code, "key-differs" in error) == (7, True)


def test_a_certificate_that_ends_is_told_a_month_before(made: Founding) -> None:
    text = made.config.read_text(encoding="utf-8")
    made.config.write_text(text.replace('tls_certificate = ""', 'tls_certificate = "tls.pem"'), encoding="utf-8")
    (made.config.parent / "tls.pem").write_bytes(certificate(days=40))

    def state(days: int) -> str:
        findings = examine(made.config, clock=lambda: now() + timedelta(days=days))
        return next((finding.state for finding in findings if finding.check == "certificate"), OK)

    assert [state(days) for days in (0, 9, 11, 39, 41)] == [OK, OK, WARNING, WARNING, ERROR]


def test_only_an_administrator_touches_keys(made: Founding, quick: Gonghui, tmp_path: Path) -> None:
    for words in (("protect",), ("unprotect",), ("rotate-seal",), ("backup", "--out", tmp_path / "b")):
        said = quick("--config", made.config, "key", *words)
        assert said.code == 4, said.error
    assert not (tmp_path / "b").exists()
    for path in made.config.parent.glob("node.*"):
        assert not is_locked(path.read_bytes())


# Security modules


MODULES = [Path(folder) / "libsofthsm2.so" for folder in ("/usr/lib/softhsm", "/usr/lib64/pkcs11", "/usr/local/lib")]
MODULES += sorted(Path("/usr/lib").glob("*/softhsm/libsofthsm2.so"))
MODULE = next((str(path) for path in MODULES if path.exists()), "")
MAKE_KEY = """
import pkcs11, sys, asn1crypto.core
from pkcs11.util.ec import encode_named_curve_parameters
token = pkcs11.lib(sys.argv[1]).get_token(token_label="node")
with token.open(rw=True, user_pin="123456") as session:
    curve = session.create_domain_parameters(
        pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: encode_named_curve_parameters(sys.argv[2])}, local=True)
    curve.generate_keypair(store=True, label="node", id=bytes([int(sys.argv[3])]))
"""


CURVES = {7: "secp256r1", 8: "secp384r1"}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A SoftHSM token named `node` with the keys of CURVES; give its PIN's file. A process reads its place once."""
    if not MODULE or not shutil.which("softhsm2-util"):
        pytest.skip("no SoftHSM here: scripts/system-packages softhsm2")
    pytest.importorskip("pkcs11", reason="the extra pkcs11 is not installed")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    (folder / "softhsm2.conf").write_text(f"directories.tokendir = {folder}/tokens\n", encoding="utf-8")
    (folder / "pin").write_text("123456\n", encoding="utf-8")
    (folder / "pin").chmod(0o600)
    words = ["softhsm2-util", "--init-token", "--free", "--label", "node", "--pin", "123456", "--so-pin", "12345678"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
        subprocess.run(words, check=True, capture_output=True)
        for number, curve in CURVES.items():
            subprocess.run([sys.executable, "-c", MAKE_KEY, MODULE, curve, str(number)], check=True, env=environment())
        yield folder / "pin"


def _found_on_token(tmp_path: Path, pin: Path, number: int) -> Path:
    shutil.copy2(pin, tmp_path / "pin")
    values = {"module": MODULE, "token": "node", "key": number, "pin_file": str(tmp_path / "pin")}
    settings = {"sync.enabled": False, **{f"keys.pkcs11_{name}": value for name, value in values.items()}}
    return found_node(tmp_path / "n", settings, admin="admin").config


@pytest.mark.parametrize(("number", "scheme"), [(7, "ecdsa-sha2-nistp256"), (8, "ecdsa-sha2-nistp384")])
def test_a_security_module_signs(tmp_path: Path, quick: Gonghui, token: Path, number: int, scheme: str) -> None:
    config = _found_on_token(tmp_path, token, number)
    assert not (config.parent / "node.key").exists()
    shown = quick("--config", config, "key", "show", "--json").json
    assert (shown["algorithm"], shown["kept_in"]) == (scheme, "pkcs11")
    node = _opened(config)
    wrong: list[BaseException] = []

    def sign_some() -> None:
        try:
            for turn in range(5):
                envelope = read_envelope(sign(b"%d" % turn, "text/plain", node.signer))
                check_signature(envelope, node.signer.public_key)
        except BaseException as error:  # noqa: BLE001  told below
            wrong.append(error)

    threads = [threading.Thread(target=sign_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_a_security_module_lacks_is_told(tmp_path: Path, gonghui: Gonghui, token: Path) -> None:
    config = _found_on_token(tmp_path, token, 7)
    text = config.read_text(encoding="utf-8")
    for wrong in ("pkcs11_key = 2", 'pkcs11_token = "another"'):
        config.write_text(re.sub(f"{wrong.partition(' ')[0]} = .*", wrong, text), encoding="utf-8")
        with pytest.raises(StorageError, match="token-unavailable"):
            open_node(config)
        finding = next(finding for finding in examine(config) if finding.check == "pkcs11")
        assert (finding.state, "pkcs11_token" in finding.said.zh) == (ERROR, True)
    config.write_text(re.sub("pkcs11_module = .*", 'pkcs11_module = "/no/such.so"', text), encoding="utf-8")
    said = gonghui("--config", config, "key", "show")
    assert (said.code, "token-unavailable" in said.error, "Traceback" in said.error) == (8, True, False)
    config.write_text(text, encoding="utf-8")
    (tmp_path / "pin").write_text("654321\n", encoding="utf-8")
    said = gonghui("--config", config, "key", "show")  # a process of its own: in this one, somebody is logged in
    assert (said.code, "token-unavailable" in said.error, "654321" in said.error) == (8, True, False)
    (tmp_path / "pin").chmod(0o644)
    with pytest.raises(StorageError, match="key-file-open"):
        open_node(config)
    config.write_text(re.sub("pkcs11_pin_file = .*", 'pkcs11_pin_file = ""', text), encoding="utf-8")
    with pytest.raises(UsageError, match="pin-missing"):
        open_node(config)


# Nowhere else


def _needles(folder: Path) -> dict[str, list[bytes]]:
    """Return file name -> what gives its key away: lines of the PEM, raw bytes, hexadecimal, base64."""
    found = {}
    for path in folder.glob("node.*"):
        if path.name == MARK_FILE:  # holds no key
            continue
        data = path.read_bytes()
        if data.startswith(b"-----BEGIN"):
            # the last 32 bytes of these keys' PKCS#8 are the secret itself
            der = b"".join(data.splitlines()[1:-1])
            raw = base64.b64decode(der)[-32:]
            found[path.name] = [der[-40:], raw, raw.hex().encode(), base64.b64encode(raw)[:40]]
        else:
            found[path.name] = [data, data.hex().encode(), base64.b64encode(data)[:40], repr(data).encode()[2:40]]
    return found


def _introduce(hub: Founding, college: Founding) -> None:
    """Write the college into the hub's peers, as a hub of an earlier release enrolled it."""
    node, other = open_node(hub.config), open_node(college.config)
    key = other.signer.public_key
    with node.database.write() as session:
        peer = Peer(
            federation=hub.federation, id=other.node_id, name="学院", public_key=public_pem(key), keyid=key.keyid
        )
        session.add(peer)
    node.database.close()
    other.database.close()


def test_no_key_is_in_any_other_file_or_output(tmp_path: Path, gonghui: Gonghui, serve: Run) -> None:
    """A hub and its college run, exchange, fail and are backed up; then every byte they left is searched."""
    hub = found_node(tmp_path / "hub", {"hub.enabled": True, "log.level": "DEBUG"}, admin="admin")
    college = found_node(tmp_path / "college", {"log.level": "DEBUG", "sync.enabled": False}, admin="admin")

    def on(made: Founding, *words: str | Path) -> str:
        said = gonghui("--config", made.config, "--token-file", made.token_file, *words)
        return said.out + said.error

    outputs = [on(college, "peer", "key", "--out", tmp_path / "college.key.json")]
    _introduce(hub, college)
    served = serve(hub.config, afresh=True)
    outputs.append(on(college, "peer", "add", served.url, "--fingerprint", hub.fingerprint))
    outputs.append(on(college, "sync", "run"))
    outputs.append(on(college, "key", "show"))
    outputs.append(on(college, "doctor"))
    outputs.append(httpx.post(f"{served.url}/exchange/v1/pull", content=b"[{}]", trust_env=False).text)
    outputs.append(httpx.get(f"{served.url}/settings", trust_env=False).text)
    limits = Path(f"/proc/{served.process.pid}/limits").read_text(encoding="utf-8")
    assert re.search(r"Max core file size\s+0\s+0\s", limits)
    served.stop()
    outputs.append(served.log.read_text(encoding="utf-8"))
    backup = tmp_path / "database.backup"
    with sqlite3.connect(college.config.parent / "gonghui.db") as source, sqlite3.connect(backup) as target:
        source.backup(target)
    needles = {**_needles(tmp_path / "hub"), **{f"c-{k}": v for k, v in _needles(tmp_path / "college").items()}}
    assert len(needles) == 6
    (college.config.parent / "node.key").write_bytes((college.config.parent / "node.key").read_bytes()[:-60])
    outputs.append(on(college, "key", "show"))  # an error about a key that cannot be read
    assert "key-unreadable" in outputs[-1]
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for name, parts in needles.items():
            own = path.name == name.removeprefix("c-")
            own = own and path.parent.name == ("college" if name.startswith("c-") else "hub")
            assert own or not [part for part in parts if part in content], path
            assert not own or name == "c-node.key" or any(part in content for part in parts), "needles are found at all"
    everything = "\n".join(outputs).encode()
    for parts in needles.values():
        assert not [part for part in parts if part in everything]


def test_a_node_and_a_traceback_show_no_key(made: Founding) -> None:
    node = _opened(made.config)
    assert repr(node.secret)[2:20] not in repr(node)
    assert "signer" not in repr(node)
    program = f"""
import sys, traceback
from pathlib import Path
from node.clock import now
from node.context import open_node
node = open_node(Path({str(made.config)!r}))
def fail(node):
    raise RuntimeError(node)
try:
    fail(node)
except RuntimeError as error:
    traceback.TracebackException.from_exception(error, capture_locals=True).print()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment()
    )
    assert "RuntimeError" in done.stderr
    for parts in _needles(made.config.parent).values():
        assert not [part for part in parts if part in done.stderr.encode()]


def test_serving_leaves_no_core_dump() -> None:
    program = (
        "import ctypes, resource\nfrom node.cli.memory import keep_memory_private\nkeep_memory_private()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split("\n")[0] == "0 (0, 0)"

"""`gonghui doctor`: look at a node from outside and say what is wrong, and the mend. Changes nothing, needs no account.

Each check looks at one thing and survives what another found broken. An `error` stops the node from doing its work and
carries the exit code of its kind; a `warning` is something to mend soon; the program's exit code is the worst.
"""

import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import httpx
from sqlalchemy import func, inspect, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, SQLModel, col, select

from federation.client import Limits, PeerClient
from federation.errors import GonghuiError, NetworkError, StorageError, Text, TrustError
from federation.keys import read_sealing_key, read_signer
from node.access.models import Account
from node.access.permissions import Actor, may
from node.audit.models import AuditEntry
from node.clock import Clock, now
from node.config import Settings, load_settings
from node.context import NODE_ID
from node.db import Database, Meta, sqlite_url
from node.exchange.listing import list_warnings
from node.keycare import digest_of_keys, list_worries
from node.keyring import KEY_FILE, SECRET_FILE, find_passphrase, key_files, open_key_file, open_keyring, open_signer
from node.stream.models import Federation, MemberListState, Peer, StoredRecord

OK, WARNING, ERROR = "ok", "warning", "error"
NO_MEND = Text("", "")
_UNREADABLE = (StorageError, SQLAlchemyError)  # what check_database tells; the others have nothing to look at
FEW_BYTES, LOW_BYTES = 50_000_000, 1_000_000_000
STALE_DAYS = 3
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts")
FONT_NAMES = (
    "notosanscjk",
    "notoserifcjk",
    "notosanssc",
    "sourcehan",
    "wqy",
    "simhei",
    "simsun",
    "msyh",
    "droidsansfallback",
)


@dataclass(frozen=True)
class Finding:
    """What one check found. `exit_code` is 0 unless it is an error."""

    check: str
    state: str
    said: Text
    mend: Text = NO_MEND
    exit_code: int = 0


class Patient(NamedTuple):
    """What the checks look at. `database` is open for looking only."""

    config: Path
    settings: Settings
    database: Database
    clock: Clock

    @property
    def folder(self) -> Path:
        """Return the folder of the node's files."""
        return self.config.resolve().parent


def examine(config: Path, clock: Clock = now, font_folders: tuple[str, ...] = FONT_FOLDERS) -> list[Finding]:
    """Return the findings of all checks, in their order."""
    try:
        settings = load_settings(config)
    except GonghuiError as error:
        return [_failed("config", error, Text("按上面的提示改正配置文件。", "Mend the configuration as it says."))]
    found = [Finding("config", OK, Text(f"配置 {config.name} 有效", f"{config.name} is valid"))]
    folder = config.resolve().parent
    patient = Patient(config, settings, Database(sqlite_url(folder, settings.database.url)), clock)
    try:
        for check in CHECKS:
            found += check(patient)
        if not any(finding.check == "database" and finding.state == ERROR for finding in found):
            for check in DATABASE_CHECKS:
                found += check(patient)
    finally:
        patient.database.close()
    return [*found, _check_font(font_folders)]


def exit_code_of(findings: list[Finding]) -> int:
    """Return the highest exit code, 0 where nothing is an error."""
    return max((finding.exit_code for finding in findings), default=0)


def _failed(check: str, error: GonghuiError, mend: Text) -> Finding:
    return Finding(check, ERROR, error.text, mend, error.exit_code)


def check_keys(patient: Patient) -> Iterator[Finding]:
    """See that every key file is there, sound, and its owner's alone; that a security module signs."""
    keys = patient.settings.keys
    mend = Text(
        "从备份恢复该文件；没有备份时须建立新节点。", "Restore it from a backup; without one, found a new node."
    )
    try:
        passphrase = find_passphrase(patient.folder, keys)
    except GonghuiError as error:
        yield _failed("passphrase", error, Text("按上面的提示改正。", "Mend it as it says."))
        return
    for path in key_files(patient.folder, keys):
        name = path.name
        try:
            content = open_key_file(path, passphrase)
            if name == KEY_FILE:
                read_signer(content)
            elif name != SECRET_FILE:
                read_sealing_key(content)
        except GonghuiError as error:
            command = f"chmod 600 {path}"
            yield _failed(name, error, Text(command, command) if error.code == "key-file-open" else mend)
            continue
        yield Finding(name, OK, Text(f"{name} 完好，仅属主可读", f"{name} is sound and its owner's alone"))
    if keys.pkcs11_module:
        try:
            open_signer(patient.folder, keys, passphrase)
        except GonghuiError as error:
            yield _failed("pkcs11", error, Text("按上面的提示改正。", "Mend it as it says."))
            return
        yield Finding("pkcs11", OK, Text("加密机可用", "the security module answers"))


def check_worries(patient: Patient) -> Iterator[Finding]:
    """See what must be mended before it hurts: keys that lie nowhere else, a certificate that runs out."""
    try:
        ring = open_keyring(patient.folder, patient.settings.keys)
        digest = digest_of_keys(ring.signer.public_key.keyid, ring.secret, ring.sealing_keys)
        with patient.database.read() as session:
            worries = list_worries(session, digest, patient.folder, patient.settings, patient.clock())
    except (*_UNREADABLE, GonghuiError):
        return  # told by the checks of files and database
    for worry in worries:
        state, code = (ERROR, StorageError.exit_code) if worry.serious else (WARNING, 0)
        yield Finding(worry.check, state, worry.said, Text(worry.mend, worry.mend), code)
    if not any(worry.check == "backup" for worry in worries):
        yield Finding("backup", OK, Text("密钥备份是最新的", "the keys are backed up"))


def check_database(patient: Patient) -> Iterator[Finding]:
    """See that the database answers, takes writes, holds this node's identity and every table and column."""
    database = patient.database
    file = database.url.removeprefix("sqlite:///")
    if database.url.startswith("sqlite") and not Path(file).is_file():
        said = Text("没有数据库文件", "there is no database file")
        mend = Text("从备份恢复，或检查 [database] url。", "Restore it from a backup, or look at [database] url.")
        yield Finding("database", ERROR, said, mend, StorageError.exit_code)
        return
    try:
        with database.read() as session:
            known = session.get(Meta, NODE_ID) if inspect(session.connection()).has_table("meta") else None
            missing = _missing(session)
            journal = session.execute(text("PRAGMA journal_mode")).scalar() if "sqlite" in database.url else "wal"
        with database.write() as session:
            session.rollback()
    except StorageError as error:
        yield _failed("database", error, Text("检查路径、权限和数据库服务。", "Look at path, permissions and server."))
        return
    if known is None:
        said = Text("数据库里没有节点身份", "the database holds no identity")
        mend = Text("恢复备份，或在新目录运行 gonghui init。", "Restore a backup, or run gonghui init in a new folder.")
        yield Finding("database", ERROR, said, mend, StorageError.exit_code)
    elif journal != "wal":
        said = Text("数据库不是 WAL 模式", "the database is not in WAL mode")
        mend = Text(
            "数据库文件须在本地磁盘上，不能在网络盘上。", "Keep the file on a local disk, not on a network share."
        )
        yield Finding("database", WARNING, said, mend)
    else:
        yield Finding("database", OK, Text("数据库可读可写", "the database can be read and written"))
    yield _tables(missing)


def _missing(session: Session) -> list[str]:
    """Return what the program expects and the database lacks: `table` or `table.column`."""
    inspector = inspect(session.connection())
    there = set(inspector.get_table_names())
    found = []
    for table in SQLModel.metadata.sorted_tables:
        if table.name not in there:
            found.append(table.name)
            continue
        columns = {column["name"] for column in inspector.get_columns(table.name)}
        found += [f"{table.name}.{column.name}" for column in table.columns if column.name not in columns]
    return found


def _tables(missing: list[str]) -> Finding:
    columns = [name for name in missing if "." in name]
    if columns:
        said = Text(f"数据库缺少列 {columns[0]}", f"the database lacks the column {columns[0]}")
        mend = Text(
            "这个数据库由另一版本的程序建立；请用该版本，或恢复备份。",
            "Another version of the program made this database; use that version, or restore a backup.",
        )
        return Finding("tables", ERROR, said, mend, StorageError.exit_code)
    if missing:
        said = Text(f"有 {len(missing)} 个表待建立", f"{len(missing)} tables are to be made")
        mend = Text("运行任一命令即会建立。", "The next command makes them.")
        return Finding("tables", WARNING, said, mend)
    return Finding("tables", OK, Text("数据库结构完整", "every table is there"))


def check_disk(patient: Patient) -> Iterator[Finding]:
    """See that there is room, and that the folder takes files."""
    mend = Text("清理磁盘，或换更大的磁盘。", "Make room, or take a larger disk.")
    try:
        free = shutil.disk_usage(patient.folder).free
        with tempfile.TemporaryFile(dir=patient.folder):
            pass
    except OSError as error:
        said = Text(f"节点目录不可写：{error.strerror}", f"the folder takes no files: {error.strerror}")
        owner = Text("检查目录的属主、权限和磁盘。", "Look at owner, mode and disk of the folder.")
        yield Finding("disk", ERROR, said, owner, StorageError.exit_code)
        return
    said = Text(f"剩余空间 {free // 1_000_000} MB", f"{free // 1_000_000} MB are free")
    if free < FEW_BYTES:
        yield Finding("disk", ERROR, said, mend, StorageError.exit_code)
    else:
        yield Finding("disk", WARNING if free < LOW_BYTES else OK, said, mend if free < LOW_BYTES else NO_MEND)


def check_clock(patient: Patient) -> Iterator[Finding]:
    """See that the clock has not gone back behind what was already written with it."""
    try:
        with patient.database.read() as session:
            times = [
                session.exec(select(func.max(column))).one()
                for column in (col(StoredRecord.stored_at), col(AuditEntry.at))
            ]
    except _UNREADABLE:
        return
    latest = max((time for time in times if time is not None), default=None)
    if latest is not None and patient.clock() < latest - timedelta(seconds=60):
        said = Text("系统时间早于已有记录的时间", "the clock is behind what was written before")
        mend = Text("校准系统时间（timedatectl set-ntp true）。", "Set the clock (timedatectl set-ntp true).")
        yield Finding("clock", ERROR, said, mend, 1)
    else:
        yield Finding("clock", OK, Text("系统时间正常", "the clock is sound"))


def check_port(patient: Patient) -> Iterator[Finding]:
    """See that the port is free, or held by this very node."""
    server = patient.settings.server
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if _is_us(patient):
            yield Finding("port", OK, Text(f"节点正在端口 {server.port} 运行", f"the node runs on port {server.port}"))
            return
        said = Text(
            f"不能监听 {server.host}:{server.port}：{error.strerror}",
            f"cannot listen on {server.host}:{server.port}: {error.strerror}",
        )
        mend = Text("停掉占用者，或改 [server] port。", "Stop what holds it, or change [server] port.")
        yield Finding("port", ERROR, said, mend, NetworkError.exit_code)
        return
    yield Finding("port", OK, Text(f"端口 {server.port} 空闲", f"port {server.port} is free"))


def _is_us(patient: Patient) -> bool:
    server = patient.settings.server
    host = "127.0.0.1" if server.host in {"", "0.0.0.0", "::"} else server.host  # noqa: S104  compared, not bound
    url = f"{'https' if server.tls_certificate else 'http'}://{host}:{server.port}/.well-known/gonghui"
    try:
        with patient.database.read() as session:
            known = session.get(Meta, NODE_ID)
        answer = httpx.get(url, timeout=3, verify=False, trust_env=False)  # noqa: S501  our own loopback, nothing secret
        return known is not None and answer.json().get("node") == known.value
    except (*_UNREADABLE, httpx.HTTPError, ValueError, AttributeError):
        return False


def check_people(patient: Patient) -> Iterator[Finding]:
    """See that somebody can prepare a release, and somebody else can approve it."""
    try:
        with patient.database.read() as session:
            accounts = session.exec(select(Account).where(col(Account.active))).all()
    except _UNREADABLE:
        return
    actors = [Actor(account.id, account.name, account.role) for account in accounts]
    approvers = [actor for actor in actors if may(actor, "release.approve")]
    preparers = [actor for actor in actors if may(actor, "release.prepare")]
    if patient.settings.hub.enabled:
        return
    needed = 2 if patient.settings.privacy.approval == "two-person" else 1
    if approvers and len(preparers) >= needed:
        yield Finding("people", OK, Text("编制人和审批人已设置", "preparer and approver are set up"))
        return
    said = Text("还没有编制人之外的审批人", "there is no approver other than the preparer")
    commands = "gonghui user add NAME --role officer; gonghui user add NAME --role approver"
    yield Finding("people", WARNING, said, Text(commands, commands))


def check_peers(patient: Patient) -> Iterator[Finding]:
    """See that the hub answers, with the key that was pinned."""
    try:
        with patient.database.read() as session:
            present = select(Federation).where(col(Federation.left_at).is_(None)).order_by(col(Federation.joined_at))
            joined = session.exec(present).all()
            known = session.get(Meta, NODE_ID)
            own = known.value if known else ""
            hubs = [(one, session.get(Peer, (one.id, one.hub_id))) for one in joined if one.hub_id != own]
    except _UNREADABLE:
        return
    if patient.settings.hub.enabled and not hubs:
        return
    if not hubs:
        yield from _check_hub(patient, None)
    for federation, hub in hubs:
        named = federation.name if len(joined) > 1 else ""
        yield from (_of(finding, named) for finding in _check_hub(patient, hub))


def _of(finding: Finding, name: str) -> Finding:
    """Say of which federation a finding is, where there are several."""
    if not name:
        return finding
    return replace(finding, said=Text(f"{name}：{finding.said.zh}", f"{name}: {finding.said.en}"))


def _check_hub(patient: Patient, hub: Peer | None) -> Iterator[Finding]:
    if hub is None or not hub.url:
        said = Text("尚未加入联合体", "this node has joined no federation")
        command = "gonghui enrol request --anchor FILE"
        yield Finding("hub", WARNING, said, Text(command, command))
        return
    exchange = patient.settings.exchange
    ca_file = str(patient.folder / exchange.ca_file) if exchange.ca_file else ""
    limits = Limits(exchange.connect_timeout_seconds, exchange.read_timeout_seconds)
    mend = Text(
        "检查网络、[exchange] proxy 和 ca_file；或请汇总节点查看。",
        "Look at the network, [exchange] proxy and ca_file.",
    )
    try:
        with PeerClient(hub.url, limits=limits, proxy=exchange.proxy, ca_file=ca_file) as client:
            key = client.fetch_well_known().get("key")
    except GonghuiError as error:
        yield _failed("hub", error, mend)
        return
    if not isinstance(key, dict) or key.get("keyid") != hub.keyid:
        said = Text("汇总节点的密钥与固定的不一致", "the hub shows another key than the pinned one")
        call = Text("打电话核对指纹，在此之前不要重新固定。", "Compare fingerprints by telephone before pinning anew.")
        yield Finding("hub", ERROR, said, call, TrustError.exit_code)
        return
    yield Finding("hub", OK, Text("汇总节点可达，密钥一致", "the hub answers, with the pinned key"))
    yield from _freshness(patient, hub)


def _freshness(patient: Patient, hub: Peer) -> Iterator[Finding]:
    if hub.last_success_at is None or patient.clock() - hub.last_success_at > timedelta(days=STALE_DAYS):
        said = Text(f"超过 {STALE_DAYS} 天没有成功同步", f"no successful sync for more than {STALE_DAYS} days")
        yield Finding("sync", WARNING, said, Text("gonghui sync run", "gonghui sync run"))


def check_list(patient: Patient) -> Iterator[Finding]:
    """See that the officers' signed list is fresh, undisputed and far from its expiry."""
    try:
        with patient.database.read() as session:
            states = session.exec(select(MemberListState)).all()
            known = session.get(Meta, NODE_ID)
            joined = {one.id: one for one in session.exec(select(Federation)).all() if one.left_at is None}
    except _UNREADABLE:
        return
    is_hub = known is not None and known.value in {one.hub_id for one in joined.values()}
    if is_hub != patient.settings.hub.enabled and any(state.expires_at is not None for state in states):
        yield _other_hub(is_hub=is_hub)
    for state in states:
        federation = joined.get(state.federation)
        if federation is None and joined:  # left, or founded anew as another
            continue
        is_hub = federation is not None and known is not None and federation.hub_id == known.value
        named = federation.name if federation and len(joined) > 1 else ""
        yield from (_of(finding, named) for finding in _check_state(patient, state, is_hub=is_hub))


def _check_state(patient: Patient, state: MemberListState, *, is_hub: bool) -> Iterator[Finding]:
    warnings = list_warnings(state, patient.clock(), is_hub=is_hub)
    for warned in warnings:
        code = TrustError.exit_code if warned.serious else 0
        yield Finding("list", ERROR if warned.serious else WARNING, warned.text, warned.mend, code)
    if not warnings:
        yield Finding("list", OK, Text("成员名录有效", "the member list is fresh"))


def _other_hub(*, is_hub: bool) -> Finding:
    """Say that the hub was handed over and the configuration has not followed."""
    said = Text("名录中的汇总节点不再是本节点", "the list names another node as the hub")
    if is_hub:
        said = Text("名录指定本节点为汇总节点", "the list names this node as the hub")
    mend = f"config.toml: [hub] enabled = {str(is_hub).lower()}"
    return Finding("hub", WARNING, said, Text(f"{mend}，然后重启", f"{mend}, then restart"))


def _check_font(folders: tuple[str, ...]) -> Finding:
    """Look for a font with Chinese characters; without one, pictures show boxes."""
    for folder in folders:
        for path in Path(folder).expanduser().rglob("*"):
            if path.suffix.lower() in {".ttf", ".otf", ".ttc"} and path.name.lower().startswith(FONT_NAMES):
                return Finding("font", OK, Text("有中文字体", "a Chinese font is there"))
    said = Text("没有中文字体，图片中的汉字会显示为方框", "no Chinese font: pictures would show boxes")
    mend = "sudo apt-get install -y fonts-noto-cjk"
    return Finding("font", WARNING, said, Text(mend, mend))


CHECKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    check_keys,
    check_disk,
    check_database,
)
DATABASE_CHECKS = (
    check_worries,
    check_clock,
    check_port,
    check_people,
    check_peers,
    check_list,
)  # have nothing to look at without one

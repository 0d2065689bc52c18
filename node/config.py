"""Settings of one node, read once from a TOML file. Read at start-up and handed on; never read at import.

Relative paths are relative to the folder of the file. An unknown key is an error that names the nearest known one.
"""

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from federation.errors import UsageError


class _Section(BaseModel):
    """Frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NodeSection(_Section):
    """Who this node is, for people."""

    name: str = Field(
        "未命名学院",
        min_length=1,
        max_length=200,
        description="学校名称，显示在页面和交换目录中 / the college's name, shown to people",
    )
    code: str = Field("", description="工会统计代码（901）/ the union's statistical code, field 901")
    language: Literal["zh", "en"] = Field("zh", description="默认语言 / default language")
    timezone: str = Field("Asia/Shanghai", description="页面显示时间所用时区 / zone in which pages show times")


class DatabaseSection(_Section):
    """Where rows are kept."""

    url: str = Field(
        "sqlite:///gonghui.db",
        description="SQLite 文件，或 postgresql+psycopg://user@host/name / SQLite file or PostgreSQL URL",
    )


class KeysSection(_Section):
    """Where keys lie, and what opens them."""

    passphrase_file: str = Field(
        "", description="密钥文件口令所在文件（0600）/ file with the passphrase of the key files"
    )
    pkcs11_module: str = Field(
        "", description="签名用加密机的 PKCS#11 库；留空用 node.key / PKCS#11 library that signs; empty: node.key signs"
    )
    pkcs11_token: str = Field("", description="加密机令牌标签 / label of the token")
    pkcs11_key: int = Field(1, ge=1, le=65535, description="令牌上密钥的编号 / id of the key on the token")
    pkcs11_pin_file: str = Field("", description="PIN 所在文件（0600）/ file with the token's PIN")


class ServerSection(_Section):
    """The listener."""

    host: str = Field("127.0.0.1", description="监听地址 / address to listen on")
    port: int = Field(8650, ge=0, le=65535, description="监听端口 / port to listen on")
    public_url: str = Field(
        "", description="对端访问本节点的地址；留空表示无入站端口 / URL for peers; empty: no inbound port"
    )
    tls_certificate: str = Field("", description="证书文件（PEM），留空用 HTTP / certificate file; empty: plain HTTP")
    tls_key: str = Field("", description="证书私钥文件 / the certificate's key file")
    tls_client_ca: str = Field(
        "",
        description="只接受此 CA 签发的客户端证书；留空不要求 / CA of the client certificates asked for; empty: none",
    )


class HubSection(_Section):
    """Whether this node keeps the member list and rolls up."""

    enabled: bool = Field(default=False, description="是否为汇总节点 / whether this node is a hub")


class ExchangeSection(_Section):
    """How this node reaches others, and the limits of the exchange."""

    transport: Literal["direct", "relay", "file"] = Field(
        "direct",
        description="往来方式：直连、经汇总节点转交、文件 / directly, by the hub's mailbox, by stick",
    )
    page_records: int = Field(50, ge=1, le=50, description="每页最多条目数 / records a page")
    page_bytes: int = Field(1_048_576, ge=65_536, le=1_048_576, description="每页最多字节数 / bytes a page")
    request_window_seconds: int = Field(300, ge=30, le=3600, description="请求时间窗（秒）/ how far clocks may differ")
    connect_timeout_seconds: float = Field(5.0, gt=0, description="连接超时（秒）/ connect timeout")
    read_timeout_seconds: float = Field(20.0, gt=0, description="整个应答的超时（秒）/ timeout of a whole answer")
    proxy: str = Field("", pattern="^(|https?://.+)$", description="出站代理，如 http://proxy:3128 / outbound proxy")
    ca_file: str = Field("", description="自有 CA 证书文件 / own CA certificate file")
    allowed_networks: str = Field(
        "", description="只联系这些网段，如 10.0.0.0/8；空：不限 / call these networks only; empty: any usual one"
    )
    client_certificate: str = Field("", description="出站客户端证书（PEM）/ our client certificate, where peers ask")
    client_key: str = Field("", description="客户端证书私钥 / the key of the client certificate")


class SyncSection(_Section):
    """The scheduler."""

    enabled: bool = Field(default=True, description="是否自动同步 / whether the scheduler runs")
    interval_seconds: int = Field(900, ge=1, description="同步间隔（秒）/ seconds between rounds")
    jitter_seconds: int = Field(60, ge=0, description="随机抖动（秒）/ random delay, so that nodes do not call at once")
    lease_seconds: int = Field(120, ge=5, description="作业租约（秒）/ lease of one job")
    backoff_first_seconds: int = Field(30, ge=1, description="对端失败后首次等待（秒）/ first wait after a failure")
    backoff_max_seconds: int = Field(21_600, ge=1, description="对端失败后最长等待（秒）/ longest wait after failures")


class PrivacySection(_Section):
    """The gate before anything leaves."""

    minimum_cell: int = Field(5, ge=5, description="S1 单元格最少人数，只能调高 / smallest S1 cell; may only be raised")
    minimum_cell_s2: int = Field(
        10, ge=10, description="S2 单元格最少人数，只能调高 / smallest S2 cell; may only be raised"
    )
    insiders: int = Field(
        2,
        ge=0,
        le=5,
        description="一格中可能被内部人认识的人数，其余仍须保护 / persons of a cell whom somebody may know by name",
    )
    contact: str = Field(
        "",
        max_length=200,
        description="教职工询问个人信息时找谁，显示在 /my-data 页 / whom staff ask about their data, shown at /my-data",
    )
    approval: Literal["two-person", "one-person"] = Field(
        "two-person",
        description="发布审批：双人或单人（写入发布内容）/ who approves; one-person is written into each release",
    )


class IntakeSection(_Section):
    """Reading of files."""

    max_bytes: int = Field(50_000_000, ge=1_000_000, description="导入文件最大字节数 / largest file that is read")
    unknown_columns: Literal["ask", "refuse", "drop"] = Field(
        "ask", description="不认识的列：询问、拒绝或忽略 / what to do with unknown columns"
    )


class WebSection(_Section):
    """Sign-in."""

    session_idle_seconds: int = Field(
        1800, ge=60, description="会话空闲超时（秒）/ idle time after which to sign in again"
    )
    login_attempts: int = Field(5, ge=1, description="锁定前允许的失败次数 / failures before a lock-out")
    login_lock_seconds: int = Field(900, ge=1, description="锁定时间（秒）/ length of a lock-out")


class LogSection(_Section):
    """The program's log; it never holds personal values."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="日志级别 / log level")


class Settings(_Section):
    """All settings; each has a default, so that an empty file is a valid one."""

    node: NodeSection = Field(NodeSection(), description="本节点 / who this node is, for people")
    keys: KeysSection = Field(KeysSection(), description="密钥的保管 / where keys lie, and what opens them")
    database: DatabaseSection = Field(DatabaseSection(), description="数据库 / where rows are kept")
    server: ServerSection = Field(ServerSection(), description="监听 / the listener")
    hub: HubSection = Field(HubSection(), description="汇总节点 / keeping the member list and rolling up")
    exchange: ExchangeSection = Field(ExchangeSection(), description="交换的限额 / limits of the exchange")
    sync: SyncSection = Field(SyncSection(), description="定时同步 / the scheduler")
    privacy: PrivacySection = Field(PrivacySection(), description="发布前的隐私关口 / the gate before anything leaves")
    intake: IntakeSection = Field(IntakeSection(), description="读取文件 / reading of files")
    web: WebSection = Field(WebSection(), description="登录 / sign-in")
    log: LogSection = Field(LogSection(), description="运行日志，不含个人信息 / the program's log; no personal values")


@dataclass(frozen=True)
class Key:
    """One key of the configuration as people read about it. `allowed` is a short form of its type and limits."""

    section: str
    name: str
    default: Any
    description: str
    allowed: str

    @property
    def path(self) -> str:
        """Return `section.name`."""
        return f"{self.section}.{self.name}"


def sections() -> dict[str, tuple[str, list[Key]]]:
    """Return section -> (description, its keys) in the order of the model."""
    found: dict[str, tuple[str, list[Key]]] = {}
    for section, field in Settings.model_fields.items():
        model = field.annotation
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        keys = [
            Key(section, name, inner.default, inner.description or "", _allowed(inner))
            for name, inner in model.model_fields.items()
        ]
        found[section] = (field.description or "", keys)
    return found


def _allowed(field: FieldInfo) -> str:
    """Say what a key takes: `0..65535`, `"zh" | "en"`, `true | false`, text."""
    choices = get_args(field.annotation)
    if choices:
        return " | ".join(f'"{choice}"' for choice in choices)
    if field.annotation is bool:
        return "true | false"
    limits = {
        name: getattr(mark, name) for mark in field.metadata for name in ("ge", "gt", "le") if hasattr(mark, name)
    }
    low = limits.get("ge", "")
    if "gt" in limits:
        low = f">{limits['gt']}"
    if limits:
        return f"{low}..{limits.get('le', '')}"
    return "文本 / text"


def toml_value(value: object) -> str:
    """Return a text, whole number, decimal or yes/no as TOML spells it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # TOML's basic strings are JSON's
    return repr(value)


def write_settings_text(values: Mapping[str, object] | None = None) -> str:
    """Return a whole configuration with comments: `values` by `section.key`, the default for every other key."""
    given = dict(values or {})
    lines = [
        "# 数智工会节点的配置；每一项都写出默认值，可以删去不改的项。",
        "# Configuration of a gonghui node: every key with its default; what is left out keeps its default.",
    ]
    for section, (title, keys) in sections().items():
        lines += ["", f"# {title}", f"[{section}]"]
        for key in keys:
            lines += [f"# {key.description}", f"{key.name} = {toml_value(given.pop(key.path, key.default))}"]
    if given:
        raise UsageError("config-key-unknown", f"没有配置项 {min(given)}。", f"There is no key {min(given)}.")
    return "\n".join(lines) + "\n"


def known_keys() -> list[str]:
    """Return every key as `section.key`, in the order of the model."""
    return [key.path for _, keys in sections().values() for key in keys]


def read_settings(text: str, source: str = "config.toml") -> Settings:
    """Read TOML text; raise UsageError that names `source`, the key and the mend."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            "config-not-toml", f"{source} 不是有效的 TOML：{error}", f"{source} is not valid TOML: {error}"
        ) from error
    try:
        return Settings.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = known_keys() + list(Settings.model_fields)
            near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
            zh_hint, en_hint = (f"，是否想写 {near[0]}？", f"; did you mean {near[0]}?") if near else ("。", ".")
            raise UsageError(
                "config-key-unknown",
                f"{source}：不认识的配置项 {key}{zh_hint}",
                f"{source}: unknown key {key}{en_hint}",
            ) from error
        raise UsageError(
            "config-value",
            f"{source}：配置项 {key} 的值不对：{first['msg']}",
            f"{source}: value of {key}: {first['msg']}",
        ) from error


def load_settings(path: Path) -> Settings:
    """Load the file at `path`; raise UsageError where it is missing or wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(
            "config-missing",
            f"找不到配置文件 {path}。请先运行 gonghui init，或用 --config 指明。",
            f"No configuration at {path}. Run `gonghui init` first, or name it with --config.",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            "config-unreadable",
            f"读不到配置文件 {path}：须为 UTF-8 文本且有读取权限。",
            f"Cannot read {path}: it must be UTF-8 text that this account may read.",
        ) from error
    return read_settings(text, str(path))

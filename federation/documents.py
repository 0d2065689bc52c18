"""Strict JSON, read once: what two parsers could understand differently is refused, not repaired.

Duplicate keys, NaN, floats, numbers beyond 2^53, lone surrogates, NUL, a byte order mark and depth beyond 32 are
refused. Depth is counted before parsing, so that no document reaches the limits of a recursive parser. Nothing here
verifies a signature: callers verify the bytes first and hand them over afterwards.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NoReturn

from federation.errors import TrustError

MAX_DOCUMENT_BYTES = 2_097_152
MAX_DEPTH = 32
MAX_INTEGER = 2**53

_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
_STEP = tuple(1 if byte in b"[{" else -1 for byte in range(256))
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_LONG_NUMBER = re.compile(rb"[0-9]{16}")  # 2^53 has 16 digits: where there are none, no integer needs a look
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of `data` as 64 lower-case hex digits."""
    return hashlib.sha256(data).hexdigest()


def read_document(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> Any:
    """Parse JSON bytes strictly; raise TrustError whose code names the fault (`json-...`, `document-...`)."""
    if len(data) > max_bytes:
        _refuse("document-too-large", "文件过大。", f"The document is larger than {max_bytes} bytes.")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        _refuse("json-encoding", "文件不是 UTF-8。", "The document is not UTF-8.")
    if "\\u0000" in text and _NUL.search(text):
        _refuse("json-nul", "文件含有空字符。", "The document holds a NUL character.")
    _check_depth(data)
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer if _LONG_NUMBER.search(data) else None,
            parse_float=_float,
            parse_constant=_constant,
        )
    except (json.JSONDecodeError, RecursionError):
        _refuse("json-syntax", "文件不是有效的 JSON。", "The document is not JSON.")
    if "\\u" in text:
        _check_surrogates(value)
    return value


def read_object(data: bytes, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """Parse JSON bytes strictly as `read_document`, and require an object."""
    value = read_document(data, max_bytes=max_bytes)
    if not isinstance(value, dict):
        _refuse("json-not-object", "文件不是 JSON 对象。", "The document is not a JSON object.")
    return value


def dump_document(value: Any) -> bytes:
    """Return the one spelling in which we write JSON: keys sorted, no blanks, UTF-8; what we refuse we do not write."""
    data = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False).encode()
    read_document(data)
    return data


def splice(header: Mapping[str, Any], name: str, content: bytes) -> bytes:
    """Return `header` as an object whose last member `name` is exactly the bytes `content`."""
    if name in header:
        raise ValueError(f"{name} is a member already")
    start = json.dumps(dict(header), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return start[:-1] + (b"," if header else b"") + json.dumps(name).encode() + b":" + content + b"}"


def format_time(at: datetime) -> str:
    """Return `2026-10-01T08:00:00Z`: the one spelling of a time in documents, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_time(text: str) -> datetime:
    """Read the one spelling of a time; raise TrustError for any other."""
    try:
        at = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        at = None
    if at is None or format_time(at) != text:
        _refuse("time-shape", "时间写法不对。", "A time is not spelt YYYY-MM-DDTHH:MM:SSZ.")
    return at


def _refuse(code: str, zh: str, en: str) -> NoReturn:
    raise TrustError(code, zh, en)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("json-duplicate-key", "JSON 对象中有重复的键。", "A key stands twice in one JSON object.")
    return members


def _integer(text: str) -> int:
    number = int(text) if len(text) <= 17 else MAX_INTEGER + 1
    if not -MAX_INTEGER <= number <= MAX_INTEGER:
        _refuse("json-number-too-large", "整数超出 2^53。", "An integer is beyond 2^53.")
    return number


def _float(_text: str) -> NoReturn:
    _refuse("json-float", "不接受浮点数，请用整数或十进制字符串。", "Floats are refused: write integers or strings.")


def _constant(_text: str) -> NoReturn:
    _refuse("json-constant", "不接受 NaN 或 Infinity。", "NaN and Infinity are refused.")


def _check_depth(data: bytes) -> None:
    """Count nesting without parsing: only brackets outside strings remain, then pairs are taken out level by level."""
    plain = _ESCAPED.sub(b"", data) if b"\\" in data else data
    rest = plain.translate(None, _NOT_STRUCTURE).replace(b'""', b"")  # taking out pairs of quotes keeps their parity
    if b'"' in rest:
        rest = _STRING.sub(b"", rest)
    too_deep = False
    for _ in range(MAX_DEPTH):
        if not rest:
            return
        shorter = rest.replace(b"{}", b"").replace(b"[]", b"")
        if len(shorter) == len(rest):
            break
        slow = len(rest) - len(shorter) < len(rest) // 16  # a tower, not a table: measured rather than taken down
        rest = shorter
        if slow and (too_deep := _depth_of(rest) > MAX_DEPTH):
            break
    if not rest:
        return
    if too_deep or _depth_of(rest) > MAX_DEPTH or rest.replace(b"{}", b"").replace(b"[]", b"") != rest:
        _refuse("json-too-deep", f"嵌套超过 {MAX_DEPTH} 层。", f"Nested deeper than {MAX_DEPTH} levels.")
    _refuse("json-syntax", "文件不是有效的 JSON。", "The document is not JSON.")


def _depth_of(brackets: bytes) -> int:
    """Return how deep these brackets nest, whatever closes what."""
    return max(accumulate(map(_STEP.__getitem__, brackets)))


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        _refuse("json-surrogate", "字符串含有不成对的代理码。", "A string holds a lone surrogate.")

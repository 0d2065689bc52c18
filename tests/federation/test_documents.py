"""Strict JSON: each fault has its own code, and nothing deep or long can make the reader stumble."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.documents import MAX_DEPTH, dump_document, read_document, read_object, read_time, splice
from federation.errors import TrustError

FAULTS = {
    "json-duplicate-key": [b'{"a":1,"a":1}', b'{"x":{"b":[],"b":[]}}', b'{"a":1,"\\u0061":2}'],
    "json-constant": [b'{"a":NaN}', b"[Infinity]", b"[-Infinity]"],
    "json-number-too-large": [b"[9007199254740993]", b"[-9007199254740993]", b"[" + b"9" * 5000 + b"]"],
    "json-float": [b"[1.0]", b"[1e3]", b"[-0.5]"],
    "json-too-deep": [
        b"[" * 10_000 + b"]" * 10_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b"[" * 10_000,
        b'["]' + b'",[' * 10_000,
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"\\"":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    ],
    "json-syntax": [b"", b"{", b"[1,]", b'{"a"}', b"[]]", b"]" * 10, b"<html></html>", b'"\\"', b"\\[", b"[1] x"],
    "json-encoding": [b'"\xff"', '["中"]'.encode("gb18030"), '"a"'.encode("utf-16")],
    "json-surrogate": [b'"\\ud800"', b'["\\udfff x"]'],
    "json-nul": [b'"\\u0000"', b'"a\\\\\\u0000"'],
    "json-not-object": [b"[]", b"1", b"null"],
}


@pytest.mark.parametrize(("code", "data"), [(code, data) for code, many in FAULTS.items() for data in many])
def test_each_fault_is_refused_by_its_code(code: str, data: bytes) -> None:
    with pytest.raises(TrustError) as caught:
        read_object(data)
    assert caught.value.code == code


def test_a_byte_order_mark_is_refused() -> None:
    with pytest.raises(TrustError, match="json-syntax"):
        read_document(b"\xef\xbb\xbf{}")


def test_a_large_document_is_refused_before_it_is_read() -> None:
    with pytest.raises(TrustError, match="document-too-large"):
        read_document(b"[" * 101, max_bytes=100)


def test_a_million_levels_are_refused_before_any_parser_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(TrustError, match="json-too-deep"):
        read_document(b"[" * 1_000_000 + b"]" * 1_000_000)


def test_limits_themselves_are_allowed() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(read_document(deepest)).encode() == deepest
    assert read_document(b"[9007199254740992,-9007199254740992]") == [2**53, -(2**53)]
    assert read_document(b'["\\u4e2d \\\\u0000 \\ud83d\\ude00","{[\\"]}"]') == ["中 \\u0000 😀", '{["]}']


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: "\\u0000" not in json.dumps(value))


@given(_json)
def test_what_is_written_reads_back(value: object) -> None:
    try:
        data = dump_document(value)
    except UnicodeEncodeError:
        return
    assert read_document(data) == value
    assert dump_document(read_document(data)) == data


def test_splice_keeps_the_content_bytes() -> None:
    content = b'{"b":1, "a":"\xe4\xb8\xad"}'
    data = splice({"kind": "release"}, "content", content)
    assert data == b'{"kind":"release","content":{"b":1, "a":"\xe4\xb8\xad"}}'
    assert data.endswith(content + b"}")
    assert splice({}, "content", b"{}") == b'{"content":{}}'
    with pytest.raises(ValueError, match="already"):
        splice({"content": 1}, "content", b"{}")


@pytest.mark.parametrize("text", ["2026-10-01T08:00:00+00:00", "2026-10-01 08:00:00", "2026-13-01T00:00:00Z", ""])
def test_one_spelling_of_a_time(text: str) -> None:
    with pytest.raises(TrustError, match="time-shape"):
        read_time(text)

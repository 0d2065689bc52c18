"""Schemas from outside cannot hang, fetch or grow: refused at once, or applied in time linear in the text."""

import json
import time
from typing import Any

import pytest

from federation.dialect import DRAFT, MAX_NODES, check_listed_schema, compile_schema
from federation.errors import TrustError


def schema(**said: Any) -> bytes:
    return json.dumps({"$schema": DRAFT, "$id": "urn:gonghui:schema:survey.v1", **said}).encode()


def _laughs(depth: int) -> bytes:
    """Definitions each of which names the next one twice: small as written, 2^depth as meant."""
    twice = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(depth)}
    return schema(**{"$defs": twice | {f"d{depth}": {"const": 1}}, "$ref": "#/$defs/d0"})


@pytest.mark.parametrize(
    "data",
    [
        schema(**{"$ref": "https://example.org/schema.json"}),
        schema(**{"$ref": "file:///etc/passwd"}),
        schema(properties={"a": {"$ref": "urn:gonghui:schema:record.v1"}}),
        schema(**{"$ref": "#/properties/a"}),
        schema(**{"$ref": "#/$defs/none"}),
        schema(**{"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}}),
        schema(**{"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"not": {"$ref": "#/$defs/a"}}}}),
        schema(items={"$defs": {"a": {}}}),
        _laughs(30),
        schema(**{"$dynamicRef": "#x"}),
        schema(patternProperties={"^(a+)+$": True}),
        schema(format="regex"),
        schema(pattern="(a+)+"),
        schema(pattern=r"^(a)\1$"),
        schema(pattern="^(?=a)a$"),
        schema(pattern="^((a{1,1000}){1,1000})$"),
        schema(pattern="^" + "a" * 300 + "$"),
        schema(properties=[1]),
        schema(anyOf={"a": 1}),
        schema(items=3),
        schema(type="strange"),
        schema(enum=["x" * 70_000]),
        schema(anyOf=[{}] * (MAX_NODES + 1)),
        json.dumps({"$schema": DRAFT, "$id": "urn:gonghui:schema:another.v1"}).encode(),
        json.dumps({"$schema": "http://json-schema.org/draft-04/schema#"}).encode(),
        b"[" * 1000,
        b'{"$schema":1,"$schema":2}',
        b"[]",
    ],
    ids=lambda data: data[60:110].decode(),
)
def test_a_schema_that_is_not_of_the_subset_is_refused_at_once(data: bytes) -> None:
    start = time.perf_counter()
    with pytest.raises(TrustError) as caught:
        check_listed_schema("survey.v1", data, {})
    assert caught.value.code in {"schema-refused", "json-too-deep", "json-duplicate-key", "json-not-object"}
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|a)*$", "^(a|aa)+$", "^([a-z]+)*[0-9]$"])
def test_a_pattern_that_elsewhere_takes_for_ever_takes_no_time(pattern: str) -> None:
    start = time.perf_counter()
    with pytest.raises(TrustError, match="schema-invalid"):
        check_listed_schema("survey.v1", schema(pattern=pattern), "a" * 100_000 + "!")
    assert time.perf_counter() - start < 2


def test_a_schema_of_the_subset_is_applied() -> None:
    part = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    data = schema(**{"$defs": {"part": part}, "type": "array", "items": {"$ref": "#/$defs/part"}, "maxItems": 2})
    check_listed_schema("survey.v1", data, [{"n": 1}, {"n": 2, "more": True}])
    bad: Any
    for bad in ([{"n": "1"}], [{}], [{"n": 1}] * 3, {}):
        with pytest.raises(TrustError, match="schema-invalid"):
            check_listed_schema("survey.v1", data, bad)
    check_listed_schema("survey.v1", _laughs(5), 1)
    assert compile_schema("survey.v1", data) is compile_schema("survey.v1", data)

"""Schemas keep to a subset on which two validators agree, and every example is what its name says.

`jsonschema` is the reference, `jsonschema-rs` decides on the hot path. The one known difference is closed here: in
ECMA-262 a `$` matches at the very end only, in Python also before a last line feed.
"""

import copy
import json
import re
from collections.abc import Iterator
from importlib import resources
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from schemas import schema_digest
from tests.conftest import LONG

DRAFT = "https://json-schema.org/draft/2020-12/schema"
KEYWORDS = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
    "additionalProperties", "propertyNames", "items", "minItems", "maxItems", "minProperties", "maxProperties", "enum",
    "const", "pattern", "minLength", "maxLength", "minimum", "maximum", "oneOf", "anyOf", "allOf", "if", "then", "else",
    "not",
}  # fmt: skip
PATTERN = re.compile(r"\^(?:\[[^\[\]\\^]+\]|\\[.]|\{\d+(?:,\d*)?\}|\(\?:|[A-Za-z0-9:;=_.+*?|()-])*\$")

SCHEMAS: dict[str, Any] = {}
EXAMPLES: dict[str, Any] = {}
for _file in resources.files("schemas").iterdir():
    if _file.name.endswith(".json") and "$schema" in (_found := json.loads(_file.read_bytes())):
        SCHEMAS[_file.name.removesuffix(".json")] = _found
for _file in resources.files("schemas").joinpath("examples").iterdir():
    if _file.name.endswith(".json"):
        EXAMPLES[_file.name.removesuffix(".json")] = json.loads(_file.read_bytes())


def _schema_of(example: str) -> str:
    rest = example.partition("-")[2]
    return max((name for name in SCHEMAS if rest == name or rest.startswith(f"{name}-")), key=len)


def _nodes(schema: Any) -> Iterator[dict[str, Any]]:
    if not isinstance(schema, dict):
        return
    yield schema
    for key in ("properties", "$defs"):
        for part in schema.get(key, {}).values():
            yield from _nodes(part)
    for key in ("items", "additionalProperties", "propertyNames", "if", "then", "else", "not"):
        yield from _nodes(schema.get(key))
    for key in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(key, []):
            yield from _nodes(part)


def _ecma_pattern(_: Any, pattern: str, instance: Any, __: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(instance, str) and not re.search(pattern.removesuffix("$") + r"\Z", instance):
        yield jsonschema.ValidationError("pattern")


Reference = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"pattern": _ecma_pattern})


def _both(name: str, value: Any) -> bool:
    reference = bool(Reference(SCHEMAS[name]).is_valid(value))
    decides = bool(jsonschema_rs.validator_for(SCHEMAS[name], offline=True).is_valid(value))
    assert reference == decides, (name, value)
    return decides


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_a_schema_keeps_to_the_subset(name: str) -> None:
    schema = SCHEMAS[name]
    assert (schema["$schema"], schema["$id"]) == (DRAFT, f"urn:gonghui:schema:{name}")
    jsonschema.Draft202012Validator.check_schema(schema)
    for node in _nodes(schema):
        assert set(node) <= KEYWORDS, set(node) - KEYWORDS
        if "pattern" in node:
            assert PATTERN.fullmatch(node["pattern"]), node["pattern"]
        if "properties" in node and "required" in node:
            assert "additionalProperties" in node, "an object says whether it is closed"
        if "$ref" in node:
            assert node["$ref"].startswith("#/$defs/"), "nothing remote is ever fetched"
        if node.get("type") == "integer":
            assert max(abs(node.get("maximum", 2**54)), abs(node.get("minimum", 2**54))) <= 2**53


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_an_example_is_what_its_name_says(name: str) -> None:
    assert _both(_schema_of(name), EXAMPLES[name]) is name.startswith("valid-")


@pytest.mark.parametrize("name", sorted(n for n in EXAMPLES if n.startswith("valid-")))
def test_both_validators_agree_on_every_small_change(name: str) -> None:
    """Put strange values in every place of each valid example, in a third of them in the short form: one verdict."""
    strange: list[Any] = [
        None,
        True,
        False,
        0,
        1,
        -1,
        2**53,
        2**53 + 1,
        1.0,
        1.5,
        "",
        "a",
        "a\n",
        "é",
        "😀" * 3,
        [],
        {},
    ]
    schema = _schema_of(name)
    places = list(_paths(EXAMPLES[name]))
    for path in places if LONG else places[len(places) % 3 :: 3]:
        for value in strange:
            changed = copy.deepcopy(EXAMPLES[name])
            place = changed
            for step in path[:-1]:
                place = place[step]
            before = place[path[-1]]
            for new in (value, before + value if isinstance(before, str) and isinstance(value, str) else value):
                place[path[-1]] = new
                _both(schema, changed)
        del place[path[-1]]
        _both(schema, changed)


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (key,)
        for rest in list(_paths(part))[:40]:
            yield (key, *rest)


def test_every_schema_has_a_valid_and_an_invalid_example() -> None:
    for name in SCHEMAS:
        kinds = {example.partition("-")[0] for example in EXAMPLES if _schema_of(example) == name}
        assert kinds == {"valid", "invalid"}, name


def test_a_published_schema_of_a_content_never_changes() -> None:
    """Records name their schema by digest: one changed byte, and the earlier release takes none of them."""
    published = {
        "member-list.v1": "a1331233aa46623d114326d65ab7e45bf0922df311da0e5613730fa1c1531c6c",
        "notice.v1": "231c33741a750f552665895d4576cb0da6795c75fd4b3becce6ad92e9f6a63ed",
        "release.v1": "40cfa2c73100f86f97e05a6a0b3c03c5fa1698e6ba6b1ca677eb61368a97c669",
        "review.v1": "5f877f63124667c206de8814200fe4b7d06e545b7bcbc98c04b2554eb7188116",
    }
    assert {name: schema_digest(name) for name in published} == published

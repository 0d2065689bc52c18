"""The subset of JSON Schema in which schemas may come from outside, with the member list: read, held to it, applied.

Officers sign such schemas, yet a program that runs for years must not hang on one. So: a closed list of keywords, no
reference but to the schema's own `$defs`, none that leads back to itself, and a bound on the size that it has when
every reference is written out (definitions that name each other twice would else grow without end). Patterns are whole
(`^...$`) and run on an engine whose time is linear in the text, with a bound on what a pattern compiles to. Nothing is
fetched.
"""

from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs

from federation.documents import read_object
from federation.errors import TrustError

MAX_SCHEMA_BYTES = 65_536
MAX_NODES = 2_000  # when every reference is written out
MAX_PATTERN = 200
_PATTERN_BYTES = 262_144  # of a compiled pattern
DRAFT = "https://json-schema.org/draft/2020-12/schema"
KEYWORDS = frozenset(
    {
        "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required",
        "additionalProperties", "propertyNames", "items", "minItems", "maxItems", "minProperties", "maxProperties",
        "enum", "const", "pattern", "minLength", "maxLength", "minimum", "maximum", "oneOf", "anyOf", "allOf",
        "if", "then", "else", "not",
    }
)  # fmt: skip
_NAMED = ("properties",)
_ONE = ("items", "additionalProperties", "propertyNames", "if", "then", "else", "not")
_SEVERAL = ("oneOf", "anyOf", "allOf")


def check_listed_schema(name: str, data: bytes, value: Any) -> None:
    """Raise TrustError unless `value` conforms to the schema `data`; `schema-refused` where that is not of the subset.

    The value is never named, nor the place: a listed schema may name members after anything.
    """
    if not compile_schema(name, data).is_valid(value):
        raise TrustError(
            "schema-invalid", f"内容不符合 {name}。", f"The content does not conform to {name}.", schema=name
        )


@lru_cache(maxsize=256)
def compile_schema(name: str, data: bytes) -> Any:
    """Return the validator of a schema from outside; raise TrustError `schema-refused`, which says why in English."""
    if len(data) > MAX_SCHEMA_BYTES:
        _refuse(f"larger than {MAX_SCHEMA_BYTES} bytes")
    schema = read_object(data)
    if (schema.get("$schema"), schema.get("$id")) != (DRAFT, f"urn:gonghui:schema:{name}"):
        _refuse("not of this draft and name")
    _Reader(schema).read()
    try:
        return jsonschema_rs.validator_for(
            schema,
            offline=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES, dfa_size_limit=_PATTERN_BYTES),
        )
    except (jsonschema_rs.ValidationError, ValueError):
        _refuse("no JSON Schema")


class _Reader:
    """Walks through one schema as if every reference were written out, and counts."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema
        self.definitions = schema.get("$defs", {})
        self.count = 0

    def read(self) -> None:
        if not isinstance(self.definitions, dict):
            _refuse("$defs is no object")
        for part in (self.schema, *self.definitions.values()):  # what nobody refers to is compiled too
            self._node(part, ())

    def _node(self, node: Any, above: tuple[str, ...]) -> None:
        self.count += 1
        if self.count > MAX_NODES:
            _refuse(f"more than {MAX_NODES} parts when its references are written out")
        if isinstance(node, bool):
            return
        if not isinstance(node, dict):
            _refuse("a part is no schema")
        if unknown := set(node) - KEYWORDS:
            _refuse(f"keyword {min(unknown)[:40]}")
        if "pattern" in node:
            _check_pattern(node["pattern"])
        if "$ref" in node:
            self._reference(node["$ref"], above)
        if "$defs" in node and node is not self.schema:
            _refuse("$defs within a part")
        for part in self._parts(node):
            self._node(part, above)

    def _parts(self, node: dict[str, Any]) -> list[Any]:
        named = [node.get(key, {}) for key in _NAMED]
        several = [node.get(key, []) for key in _SEVERAL]
        if not all(isinstance(part, dict) for part in named) or not all(isinstance(part, list) for part in several):
            _refuse("a keyword has a value of another type")
        parts = [part for group in named for part in group.values()]
        parts += [part for group in several for part in group]
        return parts + [node[key] for key in _ONE if key in node]

    def _reference(self, target: Any, above: tuple[str, ...]) -> None:
        if not isinstance(target, str) or not target.startswith("#/$defs/"):
            _refuse("a reference leads out of the schema")
        name = target.removeprefix("#/$defs/")
        if name in above:
            _refuse("a reference leads back to itself")
        if name not in self.definitions:
            _refuse("a reference leads nowhere")
        self._node(self.definitions[name], (*above, name))


def _check_pattern(pattern: Any) -> None:
    whole = isinstance(pattern, str) and pattern.startswith("^") and pattern.endswith("$")
    if not whole or len(pattern) > MAX_PATTERN:
        _refuse("a pattern is not of the form ^...$, or too long")


def _refuse(reason: str) -> NoReturn:
    raise TrustError(
        "schema-refused",
        "随名录来的格式定义不合规定，未使用。",
        f"A schema that came with the list is not used: {reason}.",
        reason=reason,
    )

"""JSON Schema by name: `jsonschema-rs` on the hot path, and its verdict counts. Nothing remote is ever fetched.

The schemas keep to a linted subset on which `jsonschema` agrees (tests hold both against one corpus).
"""

from functools import cache
from typing import Any

import jsonschema_rs

from federation.errors import TrustError
from schemas import load_schema


@cache
def _validator(name: str) -> Any:
    return jsonschema_rs.validator_for(load_schema(name), offline=True)


def check_schema(name: str, value: Any) -> None:
    """Raise TrustError `schema-invalid` unless `value` conforms to the schema; the place is named, never the value."""
    validator = _validator(name)
    if validator.is_valid(value):
        return
    error = next(iter(validator.iter_errors(value)))
    place = "/".join(str(part) for part in error.instance_path)
    raise TrustError(
        "schema-invalid",
        f"文件不符合 {name}：位置 /{place}。",
        f"The document does not conform to {name} at /{place}.",
        schema=name,
        place=f"/{place}",
    )

"""What may be said: JSON Schemas, code lists, the indicator catalogue. Data with one loader, no decisions."""

import hashlib
import json
import re
from functools import cache
from importlib import resources
from typing import Any

_NAME = re.compile(r"[a-z][a-z-]{0,39}\.v[1-9][0-9]{0,3}")


@cache
def load_schema_bytes(name: str) -> bytes:
    """Return the bytes of the JSON Schema `name` (such as `record.v1`); raise KeyError where there is none."""
    file = resources.files(__name__) / f"{name}.json"
    if not _NAME.fullmatch(name) or not file.is_file():
        raise KeyError(name)
    return file.read_bytes()


@cache
def load_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema `name`; raise KeyError where there is none. Nobody may change what is returned."""
    schema: dict[str, Any] = json.loads(load_schema_bytes(name))
    return schema


@cache
def load_data(name: str) -> bytes:
    """Return the bytes of `catalogue`, `codelists` or `families`; raise KeyError for any other name."""
    if name not in {"catalogue", "codelists", "families"}:
        raise KeyError(name)
    return (resources.files(__name__) / f"{name}.json").read_bytes()


@cache
def load_words() -> tuple[str, ...]:
    """Return the 256 words in which a fingerprint is read aloud; the place of a word is the byte it stands for."""
    return tuple((resources.files(__name__) / "spoken-words.txt").read_text(encoding="utf-8").split())


@cache
def schema_digest(name: str) -> str:
    """Return the SHA-256 (hex) of the schema's bytes, by which records name it."""
    return hashlib.sha256(load_schema_bytes(name)).hexdigest()


def has_schema(name: str) -> bool:
    """Tell whether this program has a JSON Schema of this name."""
    try:
        load_schema_bytes(name)
    except KeyError:
        return False
    return True

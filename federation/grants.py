"""Grants: who may read which dataflow at which level, who may say which kind of record, and in which schema.

Deny by default: what no line allows is not allowed.

    {"version": 1,
     "dataflows": [{"dataflow": "MEM.all", "readers": ["all"], "level": "nodes"}],
     "kinds":     [{"kind": "release", "by": ["all"],
                    "schemas": [{"schema": "release.v1", "until": "2027-03-31T16:00:00Z"},
                                {"schema": "release.v2", "from": "2026-12-31T16:00:00Z"}]}]}

Readers and speakers are written as streams are: `all`, `hub`, `node:<id>`, `group:<name>`. Level `nodes` is each node's
own figures, `totals` only what was combined of many. Of a kind with `schemas` only these are taken; at `from` its own
node must sign in that one, until `until` the old one is still taken. A schema's time is compared with the time of the
record, so that nothing is refused for being old. Pure: no database, no clock.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any

from federation.catalogue import Catalogue
from federation.documents import dump_document, read_object, read_time
from federation.errors import InputRefused, TrustError
from federation.keys import Member
from federation.validation import check_schema

ALL, HUB = "all", "hub"
NO_GRANT = "grant-missing"
NODE_PREFIX, GROUP_PREFIX = "node:", "group:"
NODES, TOTALS = "nodes", "totals"
HUB_KINDS = frozenset({"member-list", "review"})  # only the hub may say these, whether grants are known or not
KINDS = ("group-key", "member-list", "notice", "release", "review", "sum")
MAX_GRANTS_BYTES = 262_144


@dataclass(frozen=True)
class SchemaTerm:
    """From when a schema of a kind must be used, and until when it is taken; None: always."""

    schema: str  # such as `release.v2`
    required_from: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Grants:
    """What the officers have signed. Whether a member may speak at all is decided before (outer steps)."""

    readers: Mapping[str, Mapping[str, frozenset[str]]]  # dataflow -> level -> selectors
    speakers: Mapping[str, frozenset[str]]  # kind -> selectors
    terms: Mapping[str, tuple[SchemaTerm, ...]] = field(default_factory=dict)  # kind -> its schemas; none: any

    def may_say(self, member: Member, kind: str) -> bool:
        """Tell whether `member` may sign records of this kind."""
        allowed = self.speakers.get(kind, frozenset())
        return _includes(allowed, member) and (member.is_hub or kind not in HUB_KINDS)

    def may_read(self, member: Member, dataflow: str, level: str = NODES) -> bool:
        """Tell whether `member` may read the dataflow at this level; whoever reads each node's figures reads totals."""
        levels = self.readers.get(dataflow, {})
        enough = (NODES,) if level == NODES else (NODES, TOTALS)
        return member.active and any(_includes(levels.get(name, frozenset()), member) for name in enough)

    def may_go(self, dataflow: str, stream: str) -> bool:
        """Tell whether everybody who reads `stream` may read each node's figures of this dataflow."""
        return not self.readers.get(dataflow, {}).get(NODES, frozenset()).isdisjoint({ALL, stream})

    def check_term(self, kind: str, schema: str, issued_at: datetime) -> None:
        """Raise TrustError where records of this kind and time are not taken in this schema."""
        terms = self.terms.get(kind)
        if terms is None:
            return
        term = next((item for item in terms if item.schema == schema), None)
        if term is None:
            raise TrustError("schema-unlisted", "名录未列出此格式。", "The list does not name this schema.")
        if term.until is not None and issued_at >= term.until:
            raise TrustError(
                "schema-retired",
                "此格式版本已停用，请升级。",
                "This version of the schema is retired; update the node.",
            )

    def required_schema(self, kind: str, at: datetime) -> str:
        """Return the schema in which a node must sign this kind at a time; "" where several will do."""
        terms = [term for term in self.terms.get(kind, ()) if term.required_from and term.required_from <= at]
        return max(terms, key=lambda term: term.required_from or at).schema if terms else ""


@cache
def read_grants(data: bytes) -> Grants:
    """Read `grants.json` of the member list; raise TrustError, and never read a part of it."""
    value = read_object(data, max_bytes=MAX_GRANTS_BYTES)
    check_schema("grants.v1", value)
    readers: dict[str, dict[str, frozenset[str]]] = {}
    for line in value["dataflows"]:
        levels = readers.setdefault(line["dataflow"], {})
        levels[line["level"]] = levels.get(line["level"], frozenset()) | frozenset(line["readers"])
    kinds = {line["kind"]: line for line in value["kinds"]}
    if len(kinds) < len(value["kinds"]):
        raise TrustError("grants-double", "一种条目在授权中出现两次。", "A kind stands twice in the grants.")
    return Grants(
        readers,
        {kind: frozenset(line["by"]) for kind, line in kinds.items()},
        {kind: tuple(map(_term, line["schemas"])) for kind, line in kinds.items() if "schemas" in line},
    )


def default_grants(catalogue: Catalogue) -> bytes:
    """Return `grants.json` as the catalogue's own audiences say: `MEM.all` to all, `PSY.hub` to the hub alone."""
    dataflows = sorted({item.dataflow for item in catalogue.indicators.values()} - {""})
    return write_grants(
        [{"dataflow": dataflow, "readers": [dataflow.partition(".")[2]], "level": NODES} for dataflow in dataflows],
        [{"kind": kind, "by": [HUB if kind in HUB_KINDS else ALL]} for kind in KINDS],
    )


def write_grants(dataflows: Iterable[Mapping[str, Any]], kinds: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the bytes of grants; raise InputRefused where they could not be read again."""
    data = dump_document({"version": 1, "dataflows": list(dataflows), "kinds": list(kinds)})
    try:
        read_grants(data)
    except TrustError as error:
        raise InputRefused(error.code, error.text.zh, error.text.en, **error.params) from error
    return data


def dataflow_of(kind: str, subject: str) -> str:
    """Return the dataflow that a record carries: `MEM.all` of the release `MEM.all/2026U`; "" for any other kind."""
    return subject.partition("/")[0] if kind == "release" else ""


def reads_stream(member: Member, stream: str) -> bool:
    """Tell whether a stream of another is addressed to `member`."""
    return _includes(frozenset({stream}), member)


def streams_of(member: Member) -> list[str]:
    """Return every stream (of whatever origin) that is addressed to `member`."""
    named = [f"{GROUP_PREFIX}{group}" for group in sorted(member.groups)]
    return [ALL, f"{NODE_PREFIX}{member.id}", *([HUB] if member.is_hub else []), *named]


def _includes(selectors: frozenset[str], member: Member) -> bool:
    return not selectors.isdisjoint(streams_of(member))


def _term(entry: Mapping[str, str]) -> SchemaTerm:
    times = [read_time(entry[name]) if name in entry else None for name in ("from", "until")]
    return SchemaTerm(entry["schema"], *times)

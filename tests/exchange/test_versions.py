"""Kinds and schemas that are new, in two versions at once, or known to others only: nothing is lost or guessed."""

import json
from datetime import timedelta
from typing import Any

import pytest

from federation.acceptance import Verdict
from federation.documents import format_time, sha256_hex
from federation.envelope import RECORD_TYPE, read_envelope, sign
from federation.errors import InputRefused
from federation.grants import write_grants
from node.context import Node
from node.exchange import inbox
from node.stream.models import StoredRecord
from node.stream.service import append_record, read_content

from .club import Club
from .conftest import START, World

DRAFT = "https://json-schema.org/draft/2020-12/schema"


@pytest.fixture
def club(world: World) -> Club:
    return Club(world)


def schema(name: str, **more: Any) -> bytes:
    said = {"$schema": DRAFT, "$id": f"urn:gonghui:schema:{name}", "type": "object", "required": ["n"]}
    properties = {"n": {"type": "integer", "minimum": 0}, **more}
    return json.dumps(said | {"properties": properties, "additionalProperties": True}).encode()


def kinds(**schemas: list[dict[str, str]]) -> bytes:
    lines = [{"kind": kind, "by": ["all"]} | ({"schemas": terms} if terms else {}) for kind, terms in schemas.items()]
    return write_grants([], lines)


def take(club: Club, node: Node, grants: bytes, **schemas: bytes) -> int:
    """Let a node take a list with these schemas (`survey_v1=...`), and judge anew what it may mend."""
    club.documents |= {f"schemas/{name.replace('_v', '.v')}.json": data for name, data in schemas.items()}
    club.list_documents(node, grants_json=grants)
    with node.database.write() as session:
        return inbox.take_waiting(session, node, club.world.handlers)


def append(club: Club, node: Node, name: str, content: bytes, subject: str = "x", **more: Any) -> StoredRecord:
    with node.database.write() as session:
        return append_record(
            session,
            node,
            **{"federation": club.world.federation, "stream": "all", "revision": 1, "supersedes": "", **more},
            kind=name.partition(".")[0],
            subject=subject,
            schema=name,
            content=content,
        )


def test_an_unknown_kind_waits_until_the_list_brings_it_and_is_taken_without_a_hand(club: Club) -> None:
    one, hub = club.add(), club.world.hub
    grants, survey = kinds(survey=[]), schema("survey.v1")
    take(club, one, grants, survey_v1=survey)
    record = append(club, one, "survey.v1", b'{"n": 3, "later": {"unknown": [1]}}')
    club.documents.clear()
    outcome = club.world.receive(hub, record.envelope)
    assert (outcome.verdict, outcome.code) == (Verdict.QUARANTINED, "kind-unknown")
    assert take(club, hub, kinds(sample=[])) == 0
    assert take(club, hub, grants, survey_v1=survey) == 1
    assert club.world.states(hub) == [(1, "current", "")]
    assert take(club, hub, grants) == 0, "once"


def test_an_unknown_kind_waits_until_the_program_knows_it(club: Club) -> None:
    one = club.add()
    handler = club.world.handlers.pop("sample")
    record = club.world.append(one, 4)
    assert club.world.receive(club.world.hub, record.envelope).code == "kind-unknown"
    assert inbox.take_known(club.world.hub, club.world.handlers) == 0
    club.world.handlers["sample"] = handler
    assert inbox.take_known(club.world.hub, club.world.handlers) == 1
    assert club.world.seen.taken == {record.id: 4}


def test_fields_that_nobody_here_knows_are_kept_and_passed_on_untouched(club: Club) -> None:
    one, two, hub = club.add(), club.add(), club.world.hub
    survey = schema("survey.v1")
    for node in club.nodes:
        take(club, node, kinds(survey=[]), survey_v1=survey)
    content = b'{ "n" : 3, "z\\u00e9" : {"b":1,"a":[ ]}, "a":"\\u4e2d" }'
    record = append(club, one, "survey.v1", content)
    assert club.world.receive(hub, record.envelope).verdict is Verdict.ACCEPTED
    (served,) = club.world.ask(two, "pull", {"cursor": 0}).enclosed
    assert served.raw == record.envelope
    assert served.payload.endswith(b'"content":' + content + b"}")
    assert club.world.receive(two, served.raw, inbox.PULL).verdict is Verdict.ACCEPTED
    with two.database.read() as session:
        assert read_content(session.get_one(StoredRecord, record.id)) == json.loads(content)


def test_two_versions_are_taken_side_by_side_and_the_old_one_ends(club: Club) -> None:
    one, hub = club.add(), club.world.hub
    required, retired = START + timedelta(days=30), START + timedelta(days=60)
    terms = [
        {"schema": "survey.v1", "until": format_time(retired)},
        {"schema": "survey.v2", "from": format_time(required)},
    ]
    grants, old, new = kinds(survey=terms), schema("survey.v1"), schema("survey.v2", note={"type": "string"})
    for node in (hub, one):
        take(club, node, grants, survey_v1=old, survey_v2=new)
    records = [append(club, one, "survey.v1", b'{"n":1}', "a"), append(club, one, "survey.v2", b'{"n":1}', "b")]
    club.world.clock.at = required
    with pytest.raises(InputRefused, match="schema-retired"):
        append(club, one, "survey.v1", b'{"n":1}', "c")
    records += [append(club, one, "survey.v2", b'{"n":1,"note":"x"}', "c"), _outdated(club, one, old)]
    club.world.clock.at = retired + timedelta(days=1)
    records.append(_outdated(club, one, old, subject="e"))
    verdicts = [club.world.receive(hub, record.envelope) for record in records]
    assert [outcome.code for outcome in verdicts] == ["", "", "", "", "schema-retired"]


def _outdated(club: Club, node: Node, old: bytes, subject: str = "d") -> StoredRecord:
    """Sign in the old version whatever the list says, as a node does that has not heard of it."""
    taken = dict(club.documents)
    try:
        take(club, node, kinds(survey=[]), survey_v1=old)
        return append(club, node, "survey.v1", b'{"n":1}', subject)
    finally:
        club.documents = taken
        club.list_documents(node)


def test_a_schema_is_the_one_of_the_digest_that_the_record_names(club: Club) -> None:
    one, hub = club.add(), club.world.hub
    take(club, one, kinds(survey=[]), survey_v1=schema("survey.v1"))
    record = append(club, one, "survey.v1", b'{"n": 1}')
    other = schema("survey.v1", m={"type": "string"})
    assert sha256_hex(other) != sha256_hex(schema("survey.v1"))
    take(club, hub, kinds(survey=[]), survey_v1=other)
    assert club.world.receive(hub, record.envelope).code == "schema-digest"
    assert take(club, hub, kinds(survey=[]), survey_v1=schema("survey.v1")) == 1


def test_content_that_a_listed_schema_does_not_allow_is_refused(club: Club) -> None:
    one, hub = club.add(), club.world.hub
    for node in (hub, one):
        take(club, node, kinds(survey=[]), survey_v1=schema("survey.v1"))
    with pytest.raises(InputRefused, match="schema-invalid"):
        append(club, one, "survey.v1", b'{"n": -1}')
    base = append(club, one, "survey.v1", b'{"n": 1}')
    payload = json.loads(read_envelope(base.envelope).payload) | {"content": {"n": -1}}
    forged = sign(json.dumps(payload).encode(), RECORD_TYPE, one.signer)
    assert club.world.receive(hub, forged).code == "schema-invalid"

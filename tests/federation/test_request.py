"""Requests and answers: whose, for whom, when; and an answer belongs to its request alone."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from federation.documents import dump_document
from federation.envelope import RECORD_TYPE, REQUEST_TYPE, join_page, read_envelope, sign, split_page
from federation.errors import TrustError
from federation.keys import Member, new_identifier, new_private_pem, read_signer
from federation.request import Answer, Request, build_answer, build_request, open_answer, open_request

NOW = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
FEDERATION = new_identifier("f")
HUB, COLLEGE = new_identifier("n"), new_identifier("n")
HUB_SIGNER, COLLEGE_SIGNER = read_signer(new_private_pem()), read_signer(new_private_pem())
HUB_MEMBER = Member(HUB, FEDERATION, HUB_SIGNER.public_key, is_hub=True)
MEMBERS = {member.key.keyid: member for member in (HUB_MEMBER, Member(COLLEGE, FEDERATION, COLLEGE_SIGNER.public_key))}


def _request(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "op": "pull",
        "origin": COLLEGE,
        "audience": HUB,
        "federation": FEDERATION,
        "body": {"cursor": 0},
        "at": NOW,
        "nonce": "n" * 22,
    }
    return build_request(COLLEGE_SIGNER, **(values | changes))


def _open(data: bytes, **changes: Any) -> Request:
    values: dict[str, Any] = {
        "find_member": MEMBERS.get,
        "audience": HUB,
        "federation": FEDERATION,
        "now": NOW,
        "window_seconds": 300,
    }
    return open_request(data, **(values | changes))


def _refused(code: str, call: Callable[[], object]) -> TrustError:
    with pytest.raises(TrustError) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def test_a_request_opens() -> None:
    opened = _open(_request())
    assert (opened.member.id, opened.op, opened.body, opened.issued_at) == (COLLEGE, "pull", {"cursor": 0}, NOW)


def test_a_request_for_another_node_or_federation_is_refused() -> None:
    _refused("audience-mismatch", lambda: _open(_request(audience=new_identifier("n"))))
    _refused("audience-mismatch", lambda: _open(_request(federation=new_identifier("f"))))


def test_a_request_in_another_name_is_refused() -> None:
    _refused("origin-mismatch", lambda: _open(_request(origin=HUB)))


def test_a_stranger_and_a_suspended_member_are_refused() -> None:
    _refused("key-unknown", lambda: _open(_request(), find_member=lambda _: None))
    suspended = Member(COLLEGE, FEDERATION, COLLEGE_SIGNER.public_key, active=False)
    _refused("member-suspended", lambda: _open(_request(), find_member=lambda _: suspended))


@pytest.mark.parametrize("minutes", [40, -40])
def test_a_clock_forty_minutes_off_is_told_the_time(minutes: int) -> None:
    error = _refused("clock-skew", lambda: _open(_request(at=NOW + timedelta(minutes=minutes))))
    assert error.params == {"server_time": "2026-10-10T08:00:00Z", "skew_seconds": minutes * 60}
    assert _open(_request(at=NOW + timedelta(seconds=300))).nonce


def test_a_stranger_payload_is_never_parsed() -> None:
    stranger = sign(b"[" * 40_000, REQUEST_TYPE, read_signer(new_private_pem()))
    _refused("key-unknown", lambda: _open(stranger))
    forged = json.loads(_request())
    forged["payload"] = json.loads(sign(b"not json", REQUEST_TYPE, HUB_SIGNER))["payload"]
    _refused("signature-invalid", lambda: _open(json.dumps(forged, separators=(",", ":")).encode()))


def test_payload_faults_have_their_codes() -> None:
    good = json.loads(read_envelope(_request()).payload)

    def signed(value: Any) -> bytes:
        return sign(dump_document(value), REQUEST_TYPE, COLLEGE_SIGNER)

    _refused("version-unknown", lambda: _open(signed({**good, "version": 2})))
    _refused("version-unknown", lambda: _open(signed({**good, "version": True})))
    _refused("schema-invalid", lambda: _open(signed({**good, "extra": 1})))
    _refused("schema-invalid", lambda: _open(signed({**good, "nonce": "short"})))
    _refused("type-mismatch", lambda: _open(sign(dump_document(good), RECORD_TYPE, COLLEGE_SIGNER)))
    _refused("json-duplicate-key", lambda: _open(sign(b'{"version":1,"version":1}', REQUEST_TYPE, COLLEGE_SIGNER)))
    _refused("envelope-too-large", lambda: _open(b"x" * 70_000))


def _answer(request_id: str, **changes: Any) -> bytes:
    record = sign(b'{"n":1}', RECORD_TYPE, COLLEGE_SIGNER)
    values: dict[str, Any] = {
        "op": "pull",
        "origin": HUB,
        "audience": COLLEGE,
        "federation": FEDERATION,
        "request_id": request_id,
        "enclosed": [(read_envelope(record).id, record)],
        "cursor": 7,
        "more": True,
        "body": {},
        "at": NOW,
    }
    return build_answer(HUB_SIGNER, **(values | changes))


def _open_answer(page: bytes, request_id: str) -> Answer:
    return open_answer(page, provider=HUB_MEMBER, op="pull", audience=COLLEGE, request_id=request_id)


def test_an_answer_opens_and_its_enclosures_are_verbatim() -> None:
    request_id = read_envelope(_request()).id
    page = _answer(request_id)
    answer = _open_answer(page, request_id)
    assert (answer.cursor, answer.more) == (7, True)
    assert [item.raw for item in answer.enclosed] == split_page(page)[1:]


def test_an_answer_to_another_request_or_reader_is_refused() -> None:
    request_id = read_envelope(_request()).id
    other = read_envelope(_request(nonce="m" * 22)).id
    _refused("answer-mismatch", lambda: _open_answer(_answer(other), request_id))
    _refused("answer-mismatch", lambda: _open_answer(_answer(request_id, op="ping"), request_id))
    _refused("audience-mismatch", lambda: _open_answer(_answer(request_id, audience=HUB), request_id))
    _refused("origin-mismatch", lambda: _open_answer(_answer(request_id, origin=COLLEGE), request_id))


def test_adding_dropping_or_swapping_an_enclosure_is_refused() -> None:
    request_id = read_envelope(_request()).id
    manifest, record = split_page(_answer(request_id))
    other = sign(b'{"n":2}', RECORD_TYPE, COLLEGE_SIGNER)
    for page in ([manifest], [manifest, record, record], [manifest, other]):
        _refused("enclosed-mismatch", lambda page=page: _open_answer(join_page(page), request_id))  # type: ignore[misc]
    _refused("type-mismatch", lambda: _open_answer(join_page([record]), request_id))

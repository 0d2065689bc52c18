"""A parcel says what was signed or is refused; a bundle is read whole or not at all."""

import gzip
import io
import json
import zipfile
from datetime import UTC, datetime
from typing import Any

import pytest

from federation.envelope import MAX_ENVELOPE_BYTES, PARCEL_TYPE, RECORD_TYPE, join_page, read_envelope, sign
from federation.errors import TrustError
from federation.keys import Member, new_private_pem, read_signer
from federation.parcel import (
    EVERYBODY,
    MAX_LINE_BYTES,
    Parcel,
    Range,
    Says,
    build_parcel,
    check_parcel,
    peek_audience,
    read_bundle,
    read_parcel,
)
from federation.request import MAX_PAGE_BYTES

SIGNER = read_signer(new_private_pem())
A, B, F = "n-" + "a" * 26, "n-" + "b" * 26, "f-" + "a" * 26
AT = datetime(2026, 10, 10, 8, 0, tzinfo=UTC)
SAYS = Says(3, 9, 5, 2, {"all": 4}, (Range(B, "all", 2, 3),), {"timestamp": 7}, {"0" * 64: "signature-invalid"})
ITEMS = tuple(sign(b'{"n":%d}' % n, RECORD_TYPE, SIGNER) for n in range(3))


def _build(**changes: Any) -> bytes:
    values: dict[str, Any] = {
        "origin": A,
        "federation": F,
        "audience": B,
        "number": 1,
        "at": AT,
        "says": SAYS,
        "enclosed": ITEMS,
        "files": [("1.root.json", b"{}\n")],
    }
    return build_parcel(SIGNER, **{**values, **changes})


def _member(keyid: str) -> Member | None:
    return Member(A, F, SIGNER.public_key) if keyid == SIGNER.public_key.keyid else None


def _check(data: bytes) -> Parcel:
    return check_parcel(read_parcel(data), _member, F)


def test_what_was_built_is_read_again() -> None:
    data = _build()
    parcel = _check(data)
    assert (parcel.origin, parcel.audience, parcel.number, parcel.issued_at) == (A, B, 1, AT)
    assert parcel.says == SAYS
    assert tuple(item.raw for item in parcel.items) == ITEMS
    assert parcel.files == (("1.root.json", b"{}\n"),)
    assert parcel.id == read_envelope(data[1:].partition(b",\n")[0]).id
    assert read_parcel(data).data == data
    assert peek_audience(read_parcel(data))["audience"]["node"] == B
    assert _check(_build(audience=EVERYBODY, enclosed=(), files=())).audience == EVERYBODY


def _resigned(**changes: Any) -> bytes:
    payload = {**json.loads(read_parcel(_build()).manifest.payload), **changes}
    manifest = sign(json.dumps(payload).encode(), PARCEL_TYPE, SIGNER)
    return join_page([manifest, *read_parcel(_build()).lines])


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_build().replace(ITEMS[0] + b",\n", b""), "enclosed-mismatch"),  # one taken out
        (_build().replace(ITEMS[0] + b",\n" + ITEMS[1], ITEMS[1] + b",\n" + ITEMS[0]), "enclosed-mismatch"),
        (_build().replace(b'"path":"1.root.json"', b'"path":"2.root.json"'), "enclosed-mismatch"),
        (_build().replace(b'"path":"1.root.json"', b'"path":"../node.key"'), "envelope-shape"),
        (_build().replace(b'"path":"1.root.json"', b'"path":"/etc/passwd"'), "envelope-shape"),
        (_build(origin=B), "origin-mismatch"),
        (_build(federation="f-" + "b" * 26), "audience-mismatch"),
        (_resigned(version=2), "version-unknown"),
        (_resigned(version=True), "version-unknown"),
        (_resigned(number=0), "schema-invalid"),
        (_resigned(), "enclosed-mismatch"),  # the file is not there
        (join_page([ITEMS[0]]), "type-mismatch"),
        (b"[]", "parcel-shape"),
        (b"PK\x03\x04", "parcel-shape"),
        (build_parcel(
            read_signer(new_private_pem()), origin=A, federation=F, audience=B, number=1, at=AT, says=SAYS
        ), "key-unknown"),
    ],
)  # fmt: skip
def test_a_parcel_that_was_changed_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(TrustError) as caught:
        _check(data)
    assert caught.value.code == code


def test_a_bundle_gives_its_parcels_one_by_one() -> None:
    first, second = _build(), _build(number=2, enclosed=(), files=())
    found = list(read_bundle(io.BytesIO(first + b"\n" + second + b"\n")))
    assert [raw.data for raw in found] == [first, second]
    assert list(read_bundle(io.BytesIO(b""))) == []


def _zip(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("../../node.key", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (_build()[:-40], "bundle-truncated"),
        (_build().partition(b",\n")[0] + b",\n", "bundle-truncated"),
        (_build() + b"\n" + _build()[:100], "bundle-truncated"),
        (_zip(_build()), "bundle-shape"),
        (gzip.compress(b"0" * 50_000_000), "bundle-shape"),
        (_build().replace(b",\n", b",\r\n") + b"\r\n", "bundle-shape"),
        (b"<html>\n", "bundle-shape"),
        (b'[{"payload":"' + b"A" * (MAX_LINE_BYTES + 10), "parcel-too-large"),
        (b'[{"payload":"A"},\n' + b'{"payload":"A"},\n' * 2000, "parcel-too-large"),
    ],
)
def test_what_is_no_whole_bundle_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(TrustError) as caught:
        list(read_bundle(io.BytesIO(data)))
    assert caught.value.code == code


def test_every_cut_is_found() -> None:
    data = _build() + b"\n"
    for length in range(1, len(data) - 1, 97):
        with pytest.raises(TrustError):
            list(read_bundle(io.BytesIO(data[:length])))


def test_the_largest_record_goes_into_one_request_to_the_mailbox() -> None:
    record = sign(b'{"n":"%b"}' % (b"x" * 749_700), RECORD_TYPE, SIGNER)
    assert MAX_ENVELOPE_BYTES - 1_000 < len(record) <= MAX_ENVELOPE_BYTES
    wide = Range(B, "group:" + "g" * 70, 2**53 - 1, 2**53 - 1)
    says = Says(
        misses=(wide,) * 100,
        receipted={f"group:{'g' * 60}{n:03}": 2**53 - 1 for n in range(100)},
        refused={f"{n:064}": "c" * 80 for n in range(100)},
    )
    data = _build(enclosed=(record,), files=(), says=says)
    assert len(data) < MAX_PAGE_BYTES - 65_536  # beside it goes the request itself

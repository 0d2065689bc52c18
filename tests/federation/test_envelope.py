"""Envelopes have one spelling; the key decides the algorithm; an id belongs to what is signed, not to the envelope."""

import base64
import json

import pytest
from securesystemslib.dsse import Envelope as Dsse
from securesystemslib.signer import CryptoSigner

from federation.envelope import (
    RECORD_TYPE,
    REQUEST_TYPE,
    Envelope,
    check_signature,
    check_type,
    join_page,
    read_envelope,
    sign,
    split_page,
)
from federation.errors import TrustError
from federation.keys import new_private_pem, public_pem, read_public_key, read_signer


def _signer() -> CryptoSigner:
    return read_signer(new_private_pem())


def test_the_reference_library_reads_and_verifies_what_we_write() -> None:
    signer = _signer()
    raw = sign('{"a":"中"}'.encode(), RECORD_TYPE, signer)
    reference = Dsse.from_dict(json.loads(raw))
    assert reference.verify([signer.public_key], 1)
    ours = read_envelope(raw)
    assert ours.pae == reference.pae()
    check_signature(ours, signer.public_key)


def test_a_public_key_survives_pem_and_its_id_is_computed() -> None:
    key = _signer().public_key
    again = read_public_key(public_pem(key))
    assert (again.keyid, again.keyval) == (key.keyid, key.keyval)


@pytest.mark.parametrize("pem", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_an_unreadable_public_key_is_refused(pem: str) -> None:
    with pytest.raises(TrustError, match="key-unreadable"):
        read_public_key(pem)


def test_one_flipped_byte_of_payload_type_or_signature_is_refused() -> None:
    signer = _signer()
    good = read_envelope(sign(b'{"n":1}', RECORD_TYPE, signer))
    keyid, sig = good.signatures[0]
    for bad in (
        Envelope(b"", b'{"n":2}', good.payload_type, good.signatures),
        Envelope(b"", good.payload, REQUEST_TYPE, good.signatures),
        Envelope(b"", good.payload, good.payload_type, ((keyid, sig[:-1] + bytes([sig[-1] ^ 1])),)),
        Envelope(b"", good.payload, good.payload_type, ((keyid, b""),)),
    ):
        with pytest.raises(TrustError, match="signature-invalid"):
            check_signature(bad, signer.public_key)


def test_a_wrong_key_is_refused() -> None:
    raw = sign(b"{}", RECORD_TYPE, _signer())
    with pytest.raises(TrustError, match="key-not-signer"):
        check_signature(read_envelope(raw), _signer().public_key)


def test_another_spelling_of_the_same_envelope_is_refused() -> None:
    raw = sign(b"{}", RECORD_TYPE, _signer())
    document = json.loads(raw)
    sig = document["signatures"][0]
    payload = b'{"payload":"' + base64.b64encode(b"{}") + b'"'
    spellings = [
        raw + b"\n",
        b" " + raw,
        json.dumps(document).encode(),
        raw.replace(payload, b'{"payload":"e31="'),  # bits beyond the last byte
        raw.replace(payload, b'{"payload":"e30"'),
        raw.replace(payload, b'{"payload":"e30=="'),
        raw.replace(payload, b'{"payload":"e-0="'),
        raw[:-1] + b',"x":1}',
        json.dumps({**document, "signatures": [{**sig, "alg": "none"}]}, separators=(",", ":")).encode(),
        json.dumps({**document, "signatures": [sig, sig]}, separators=(",", ":")).encode(),
        json.dumps({**document, "signatures": []}, separators=(",", ":")).encode(),
        b'{"payloadType":"x","payload":"","signatures":[]}',
        b"[" * 100_000,
        b"",
    ]
    assert read_envelope(raw).payload == b"{}"
    for spelling in spellings:
        with pytest.raises(TrustError) as caught:
            read_envelope(spelling)
        assert caught.value.code == "envelope-shape", spelling[:80]


def test_a_second_signature_keeps_the_id() -> None:
    first = _signer()
    raw = sign(b"{}", RECORD_TYPE, first)
    twice = json.loads(raw)
    twice["signatures"] += json.loads(sign(b"{}", RECORD_TYPE, _signer()))["signatures"]
    both = read_envelope(json.dumps(twice, separators=(",", ":")).encode())
    assert both.id == read_envelope(raw).id
    check_signature(both, first.public_key)


def test_types_are_told_apart() -> None:
    signer = _signer()
    with pytest.raises(TrustError, match="type-mismatch"):
        check_type(read_envelope(sign(b"{}", REQUEST_TYPE, signer)), RECORD_TYPE)
    with pytest.raises(TrustError, match="type-unknown"):
        check_type(read_envelope(sign(b"{}", RECORD_TYPE.replace("v1", "v2"), signer)), RECORD_TYPE)


def test_pages_give_back_the_very_bytes() -> None:
    envelopes = [sign(b"{}", RECORD_TYPE, _signer()) for _ in range(3)]
    page = join_page(envelopes)
    assert len(json.loads(page)) == 3
    assert split_page(page) == envelopes
    for bad in (b"", b"{}", b"[]", b"<html>", page[:-1]):
        with pytest.raises(TrustError, match="page-shape"):
            split_page(bad)

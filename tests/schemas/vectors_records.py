"""The vectors of envelopes and records, in clear and sealed."""

import base64
import hashlib
import json

from federation.documents import dump_document
from federation.envelope import RECORD_TYPE, REQUEST_TYPE
from schemas import load_schema_bytes
from tests.schemas.vectors import (
    CURVE,
    ED,
    FEDERATION,
    FOLDER,
    HUB,
    LATTICE,
    NOW,
    RETIRED,
    STRANGER,
    SUSPENDED,
    Actor,
    Writer,
    content,
    id_of,
    later,
    record,
    rewrite,
)


def add_envelopes(w: Writer) -> None:
    """What fails before anything is parsed."""
    good = w.signed(record(ED), RECORD_TYPE, ED)
    payload = json.loads(good)["payload"]
    sig = json.loads(good)["signatures"][0]

    def refused(name: str, what: str, given: bytes, code: str) -> None:
        w.add(f"invalid-{name}", what, "record", given, HUB, verdict="refused", code=code)

    refused("envelope-with-blank", "A blank after a colon.", good.replace(b":", b": ", 1), "envelope-shape")
    refused(
        "envelope-members-reordered",
        "The same members in another order.",
        json.dumps(
            {"payloadType": RECORD_TYPE, "payload": payload, "signatures": [sig]}, separators=(",", ":")
        ).encode(),
        "envelope-shape",
    )
    refused(
        "envelope-extra-member",
        "A member that is not one of the three.",
        good[:-1] + b',"alg":"none"}',
        "envelope-shape",
    )
    refused(
        "signature-extra-member",
        "An algorithm beside a signature.",
        good.replace(b'"keyid"', b'"alg":"none","keyid"'),
        "envelope-shape",
    )
    refused(
        "envelope-base64-url",
        "The other base64 alphabet.",
        rewrite(good, payload=base64.urlsafe_b64encode(b"\xfb\xff" * 3).decode()),
        "envelope-shape",
    )
    refused("envelope-base64-unpadded", "base64 without its padding.", rewrite(good, payload="e30"), "envelope-shape")
    refused(
        "envelope-base64-loose-bits",
        "base64 whose unused bits are set.",
        rewrite(good, payload="e31="),
        "envelope-shape",
    )
    refused(
        "envelope-no-signature",
        "No signature at all.",
        json.dumps({"payload": payload, "payloadType": RECORD_TYPE, "signatures": []}, separators=(",", ":")).encode(),
        "envelope-shape",
    )
    refused(
        "envelope-one-key-twice",
        "One key signs twice.",
        json.dumps(
            {"payload": payload, "payloadType": RECORD_TYPE, "signatures": [sig, sig]}, separators=(",", ":")
        ).encode(),
        "envelope-shape",
    )
    refused(
        "type-unknown",
        "A type or version that does not exist yet.",
        w.signed(record(ED), RECORD_TYPE.replace("v1", "v9"), ED),
        "type-unknown",
    )
    refused(
        "type-of-a-request", "A record signed as a request.", w.signed(record(ED), REQUEST_TYPE, ED), "type-mismatch"
    )
    refused(
        "type-exchanged",
        "The type of a signed request was exchanged afterwards.",
        rewrite(w.signed(record(ED), REQUEST_TYPE, ED), payloadType=RECORD_TYPE),
        "signature-invalid",
    )
    refused(
        "payload-changed",
        "One byte of the payload was changed.",
        rewrite(
            good, payload=base64.b64encode(base64.b64decode(payload).replace(b'"revision":1', b'"revision":2')).decode()
        ),
        "signature-invalid",
    )
    foreign = json.loads(w.signed(record(CURVE), RECORD_TYPE, CURVE))["signatures"][0]
    given = rewrite(good, signatures=[{"keyid": sig["keyid"], "sig": foreign["sig"]}])  # type: ignore[arg-type]
    refused(
        "signature-of-another-algorithm",
        "An ECDSA signature under the id of an Ed25519 key.",
        given,
        "signature-invalid",
    )
    refused(
        "member-suspended",
        "Signed by a suspended member.",
        w.signed(record(SUSPENDED), RECORD_TYPE, SUSPENDED),
        "member-suspended",
    )
    w.add(
        "invalid-key-unknown",
        "Signed by a key that no list names: it waits for a newer list.",
        "record",
        w.signed(record(STRANGER), RECORD_TYPE, STRANGER),
        HUB,
        verdict="waiting",
        code="key-unknown",
    )


def add_records(w: Writer) -> None:
    """Records in clear: position, then content."""
    for actor in (ED, LATTICE, CURVE):
        w.add(
            f"valid-record-{actor.name}",
            f"The first record of a stream, signed with {actor.algorithm}.",
            "record",
            w.signed(record(actor), RECORD_TYPE, actor),
            HUB,
            verdict="accepted",
            code="",
        )
    first = w.signed(record(ED), RECORD_TYPE, ED)
    second = record(ED, sequence=2, previous=id_of(first), subject="notice:2", content=content(2))
    ok = {"verdict": "accepted", "code": ""}
    w.add(
        "valid-record-second",
        "The next record names the one before.",
        "record",
        w.signed(second, RECORD_TYPE, ED),
        HUB,
        ["valid-record-college"],
        **ok,
    )
    mended = record(ED, sequence=2, previous=id_of(first), revision=2, supersedes=id_of(first), content=content(3))
    w.add(
        "valid-record-revision",
        "A correction is the next revision and names what it supersedes.",
        "record",
        w.signed(mended, RECORD_TYPE, ED),
        HUB,
        ["valid-record-college"],
        **ok,
    )
    w.add(
        "valid-record-to-hub",
        "A stream of its own for each audience.",
        "record",
        w.signed(record(ED, stream="hub"), RECORD_TYPE, ED),
        HUB,
        ["valid-record-college"],
        **ok,
    )
    w.add(
        "valid-record-retired-key",
        "A key that was rotated away still vouches for what it signed.",
        "record",
        w.signed(record(RETIRED), RECORD_TYPE, RETIRED),
        HUB,
        **ok,
    )
    both = json.loads(first)
    both["signatures"] += json.loads(w.signed(record(ED), RECORD_TYPE, HUB))["signatures"]
    w.add(
        "valid-record-two-signatures",
        "A second signature changes neither id nor verdict.",
        "record",
        json.dumps(both, separators=(",", ":")).encode(),
        HUB,
        **ok,
        id=id_of(first),
    )
    w.add(
        "valid-record-again",
        "The same record once more.",
        "record",
        first,
        HUB,
        ["valid-record-college"],
        verdict="duplicate",
        code="",
        id=id_of(first),
    )
    _add_outer_faults(w, first)
    _add_inner_faults(w, first)


def _add_outer_faults(w: Writer, first: bytes) -> None:
    def refused(
        name: str,
        what: str,
        payload: object,
        code: str,
        held: tuple[str, ...] = (),
        by: Actor = ED,
        reader: Actor = HUB,
    ) -> None:
        data = payload if isinstance(payload, bytes) else dump_document(payload)
        verdict = "waiting" if code == "sequence-gap" else "refused"
        w.add(
            f"invalid-record-{name}",
            what,
            "record",
            w.signed(data, RECORD_TYPE, by),
            reader,
            held,
            verdict=verdict,
            code=code,
        )

    plain = dump_document(record(ED))
    refused(
        "key-twice",
        "A JSON object names one member twice.",
        plain.replace(b'"kind":', b'"kind":"notice","kind":'),
        "json-duplicate-key",
    )
    refused("float", "A number with a decimal point.", plain.replace(b'"revision":1', b'"revision":1.0'), "json-float")
    refused(
        "number-beyond-2-53",
        "An integer that not every reader can hold.",
        plain.replace(b'"revision":1', b'"revision":9007199254740993'),
        "json-number-too-large",
    )
    refused(
        "lone-surrogate",
        "Half of a surrogate pair.",
        plain.replace(b'"policy":""', b'"policy":"\\ud800"'),
        "json-surrogate",
    )
    refused(
        "too-deep",
        "More than 32 levels.",
        plain.replace(b'"policy":""', b'"policy":' + b"[" * 40 + b"]" * 40),
        "json-too-deep",
    )
    refused("version-unknown", "Version 2 of a record.", record(ED, version=2), "version-unknown")
    refused("version-is-true", "`true` is not 1.", record(ED, version=True), "version-unknown")
    refused("extra-member", "A member that record.v1 does not know.", record(ED, alg="ed25519"), "schema-invalid")
    refused("content-missing", "No content.", {k: v for k, v in record(ED).items() if k != "content"}, "schema-invalid")
    refused("origin-of-another", "In another member's name.", record(ED, origin=CURVE.id), "origin-mismatch")
    refused("two-audiences", "Stream and audience differ.", record(ED, readers="hub"), "stream-audience")
    other = record(ED, audience={"federation": "f-" + "other".ljust(26, "a"), "readers": "all"})
    refused("other-federation", "Meant for another federation.", other, "audience-mismatch")
    refused(
        "not-for-us",
        "Meant for one node, shown to another.",
        record(ED, stream=f"node:{LATTICE.id}"),
        "audience-mismatch",
        reader=CURVE,
    )
    held = ("valid-record-college",)
    gap = record(ED, sequence=3, previous=id_of(first), subject="notice:3")
    refused("gap", "Sequence 3 where 1 is held: it waits, 2 is asked for.", gap, "sequence-gap", held)
    refused(
        "fork", "Another record at the place of one that is held.", record(ED, content=content(9)), "equivocation", held
    )
    chain = record(ED, sequence=2, previous="ab" * 32, subject="notice:2")
    refused(
        "previous-of-another", "`previous` names another record than the one held.", chain, "previous-mismatch", held
    )


def _add_inner_faults(w: Writer, first: bytes) -> None:
    """Each of these takes its place; what follows goes on."""

    def quarantined(
        name: str, what: str, payload: dict[str, object], code: str, held: tuple[str, ...] = (), by: Actor = ED
    ) -> None:
        w.add(
            f"invalid-record-{name}",
            what,
            "record",
            w.signed(payload, RECORD_TYPE, by),
            HUB,
            held,
            verdict="quarantined",
            code=code,
        )

    schema = record(ED)["schema"]
    quarantined(
        "content-faulty",
        "The content does not conform to its schema.",
        record(ED, content={**content(), "title": ""}),
        "schema-invalid",
    )
    quarantined(
        "schema-digest",
        "The schema named has another digest.",
        record(ED, schema={**schema, "sha256": "ab" * 32}),
        "schema-digest",
    )
    quarantined(
        "schema-unknown",
        "A version of a known schema that this reader has not.",
        record(ED, schema={**schema, "version": 9}),
        "schema-unknown",
    )
    quarantined("schema-kind", "A schema of another kind.", record(ED, kind="release"), "schema-kind")
    strange = record(ED, kind="survey", schema={"id": "survey", "version": 1, "sha256": "ab" * 32})
    quarantined(
        "kind-unknown", "A kind that this reader does not know: it waits in quarantine.", strange, "kind-unknown"
    )
    example = json.loads((FOLDER.parent / "valid-review.v1.json").read_bytes())
    quarantined("hub-alone", "A review that a college signed.", _review(example), "grant-missing")
    held = ("valid-record-college",)
    after = {"sequence": 2, "previous": id_of(first)}
    quarantined(
        "revision-again",
        "Another record of one revision of one subject.",
        record(ED, content=content(9), **after),
        "equivocation",
        held,
    )
    quarantined(
        "revision-skips",
        "Revision 3 after 1.",
        record(ED, revision=3, supersedes=id_of(first), **after),
        "revision-skips",
        held,
    )
    quarantined(
        "supersedes-nothing",
        "Revision 2 that names nothing.",
        record(ED, revision=2, **after),
        "supersedes-mismatch",
        held,
    )


def _review(example: dict[str, object]) -> dict[str, object]:
    digest = hashlib.sha256(load_schema_bytes("review.v1")).hexdigest()
    return record(
        ED,
        kind="review",
        schema={"id": "review", "version": 1, "sha256": digest},
        subject="review:" + "ab" * 32,
        content=example,
    )


def add_sealed(w: Writer) -> None:
    """Records sealed to their readers."""
    inner = {
        name: value
        for name, value in record(ED).items()
        if name in {"kind", "schema", "subject", "revision", "supersedes", "policy", "content"}
    }
    plaintext = dump_document(inner | {"salt": "5a" * 32})
    stream = f"node:{LATTICE.id}"
    header = {
        "version": 1,
        "origin": ED.id,
        "audience": {"federation": FEDERATION, "readers": stream},
        "stream": stream,
        "sequence": 1,
        "previous": "",
        "issued_at": NOW,
        "list": 1,
        "epoch": 0,
    }
    given = w.sealed(header, plaintext, [ED, LATTICE], ED)
    w.add(
        "valid-sealed",
        "Sealed to one node and to its own sender; the plaintext is expected.",
        "record",
        given,
        LATTICE,
        verdict="accepted",
        code="",
        plaintext=plaintext.decode(),
    )
    w.add(
        "valid-sealed-carried",
        "The hub cannot read it, and it takes its place there all the same.",
        "record",
        given,
        HUB,
        verdict="sealed",
        code="sealed-to-others",
    )
    w.add(
        "invalid-sealed-not-for-us",
        "Another college is shown it.",
        "record",
        given,
        CURVE,
        verdict="refused",
        code="audience-mismatch",
    )
    payload = json.loads(base64.b64decode(json.loads(given)["payload"]))
    moved = w.signed({**payload, "issued_at": later(60)}, "application/vnd.gonghui.sealed.v1+json", ED)
    w.add(
        "invalid-sealed-header-exchanged",
        "Ciphertext under another clear header, signed anew.",
        "record",
        moved,
        LATTICE,
        verdict="quarantined",
        code="sealed-broken",
    )

"""The anchor (信任锚): the one file from which a college joins a federation. Everything else follows from its root.

The file is not signed: whoever hands it over is trusted by a person, who compares its fingerprint, as words or hex,
with an officer by telephone. Afterwards only what the root's officers sign changes anything.
"""

import json
from dataclasses import dataclass

from federation.documents import read_object, sha256_hex
from federation.errors import InputRefused, TrustError
from federation.metadata import ROOT, check_metadata, signers_of
from federation.roll import Roll
from federation.validation import check_schema

MAX_ANCHOR_BYTES = 1_048_576


@dataclass(frozen=True)
class Anchor:
    """`root`: bytes of a root; `hub_keyid`: the hub's key; `formerly`: the federation it was founded from."""

    federation: str
    name: str
    hub: str
    urls: tuple[str, ...]
    hub_keyid: str
    root: bytes
    formerly: str = ""

    @property
    def fingerprint(self) -> str:
        """Return the SHA-256 of the root's bytes: what two people compare."""
        return sha256_hex(self.root)


def build_anchor(roll: Roll, root: bytes, *, urls: tuple[str, ...] = (), formerly: str = "") -> bytes:
    """Return the anchor file of the federation; without `urls` the hub's address as the roll has it."""
    known = roll.members[roll.hub].url
    document = {
        "version": 1,
        "federation": roll.federation,
        "name": roll.name,
        "hub": {"id": roll.hub, "urls": list(urls or ((known,) if known else ())), "keyid": roll.hub_keyid},
        "root": root.decode(),
    } | ({"formerly": formerly} if formerly else {})
    check_schema("anchor.v1", document)
    return json.dumps(document, ensure_ascii=False, indent=2).encode() + b"\n"


def read_anchor(data: bytes) -> Anchor:
    """Read an anchor file; raise InputRefused where it is none, or its root is not signed by its own officers."""
    try:
        document = read_object(data, max_bytes=MAX_ANCHOR_BYTES)
        check_schema("anchor.v1", document)
        root = document["root"].encode()
        metadata = check_metadata(root, ROOT)
    except TrustError as error:
        raise InputRefused(
            "anchor-unreadable",
            "这不是联合体的信任锚文件。请向联合体签署人索取。",
            "This is no anchor file. Ask an officer of the federation for it.",
            reason=error.code,
        ) from error
    role = metadata.signed.roles[ROOT]
    signers = signers_of(metadata, (metadata.signed.keys[keyid] for keyid in role.keyids))
    if len(signers) < role.threshold:
        raise TrustError("root-threshold", "根文件签名不足。", "Too few officers have signed the root.")
    hub = document["hub"]
    return Anchor(
        federation=document["federation"],
        name=document["name"],
        hub=hub["id"],
        urls=tuple(hub["urls"]),
        hub_keyid=hub["keyid"],
        root=root,
        formerly=document.get("formerly", ""),
    )

"""Another program takes part: member list and feed read with nothing of ours, as docs/protocol.md says.

`Foreign` below uses python-tuf's own client, securesystemslib, httpx and the standard library. Our code only founds the
federation, enrols the key and serves.
"""

import base64
import hashlib
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from securesystemslib.exceptions import UnverifiedSignatureError
from securesystemslib.signer import CryptoSigner, Key, Signature, SSlibKey
from tuf.ngclient import Updater

from tests.exchange.federated import Union
from tests.exchange.test_membership import union  # noqa: F401  fixture
from tests.sync.conftest import Net, net, served  # noqa: F401  fixtures

TYPE = "application/vnd.gonghui.{}.v1+json"


class Foreign:
    """A reader that knows an anchor, a node id and a private key."""

    def __init__(self, url: str, anchor: bytes, node_id: str, signer: CryptoSigner, folder: Path) -> None:
        told = json.loads(anchor)
        self.url, self.federation, self.hub = url, told["federation"], told["hub"]["id"]
        self.root, self.node_id, self.signer, self.folder = told["root"].encode(), node_id, signer, folder
        self.keys: dict[str, tuple[str, Key]] = {}  # key id -> (member, key)

    def read_list(self) -> None:
        base = f"{self.url}/exchange/v1/membership/"
        (self.folder / "metadata").mkdir()
        updater = Updater(str(self.folder / "metadata"), base, str(self.folder), f"{base}targets/", bootstrap=self.root)
        updater.refresh()

        def target(path: str) -> Any:
            info = updater.get_targetinfo(path)
            assert info is not None
            return json.loads(Path(updater.download_target(info)).read_bytes())

        for path in target("index.json")["files"]:
            for member in target(path)["members"] if path.startswith("members-") else []:
                for listed in member["keys"]:
                    key = SSlibKey.from_crypto(_load(listed["pem"]))
                    assert key.keyid == listed["keyid"]
                    self.keys[key.keyid] = (member["id"], key)

    def verify(self, envelope: dict[str, Any], kind: str) -> tuple[str, str, dict[str, Any]]:
        """Return id, signing member and payload of an envelope."""
        payload = base64.b64decode(envelope["payload"], validate=True)
        pae = _encode(envelope["payloadType"], payload)
        assert envelope["payloadType"] == TYPE.format(kind)
        (signature,) = envelope["signatures"]
        member, key = self.keys[signature["keyid"]]
        key.verify_signature(Signature(key.keyid, base64.b64decode(signature["sig"]).hex()), pae)
        return hashlib.sha256(pae).hexdigest(), member, json.loads(payload)

    def pull(self, cursor: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        request = {
            "version": 1,
            "op": "pull",
            "origin": self.node_id,
            "audience": {"federation": self.federation, "node": self.hub},
            "nonce": secrets.token_urlsafe(16),
            "issued_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "body": {"cursor": cursor},
        }
        payload = json.dumps(request).encode()  # blanks, any order: what is signed is bytes
        pae = _encode(TYPE.format("request"), payload)
        sig = base64.b64encode(bytes.fromhex(self.signer.sign(pae).signature)).decode()
        signed = {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": TYPE.format("request"),
            "signatures": [{"keyid": self.signer.public_key.keyid, "sig": sig}],
        }
        body = b"[" + json.dumps(signed, separators=(",", ":")).encode() + b"]"
        answered = httpx.post(f"{self.url}/exchange/v1/pull", content=body, trust_env=False)
        assert answered.status_code == 200, answered.text
        manifest, *enclosed = answered.json()
        _, member, answer = self.verify(manifest, "answer")
        assert (member, answer["audience"]["node"]) == (self.hub, self.node_id)
        assert answer["request"] == hashlib.sha256(pae).hexdigest()
        found = []
        for identity, envelope in zip(answer["enclosed"], enclosed, strict=True):
            told, member, record = self.verify(envelope, "record")
            assert (told, member) == (identity, record["origin"])
            found.append({"id": told, **record})
        return answer, found


def _encode(kind: str, payload: bytes) -> bytes:
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind.encode(), len(payload), payload)


def _load(pem: str) -> Any:
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    return load_pem_public_key(pem.encode())


@pytest.mark.parametrize("algorithm", ["ed25519", "ecdsa-sha2-nistp256", "ml-dsa-65/1"])
def test_member_list_and_feed_are_read_with_nothing_of_ours(union: Union, tmp_path: Path, algorithm: str) -> None:  # noqa: F811
    clock = union.net.world.clock
    clock.forward(seconds=(datetime.now(UTC) - clock()).total_seconds())  # a foreign client asks the machine's clock
    union.resign()
    reader = union.enrol(key_algorithm=algorithm)
    others = [union.enrol(key_algorithm=name) for name in ("ed25519", "ml-dsa-65/1")]
    for number, node in enumerate(others * 2):
        union.net.world.append(node, number)
    for node in others:
        assert [result.code for result in union.net.run(node)] == [""]
    signer = reader.signer
    assert isinstance(signer, CryptoSigner)
    with served(union.net.world.app) as url:
        foreign = Foreign(url, union.anchor(), reader.node_id, signer, tmp_path)
        foreign.read_list()
        assert {member for member, _ in foreign.keys.values()} == {
            union.hub.node_id,
            reader.node_id,
            *(node.node_id for node in others),
        }
        cursor, records = 0, list[dict[str, Any]]()
        while True:
            answer, page = foreign.pull(cursor)
            records += page
            cursor = answer["cursor"]
            if not answer["more"]:
                break
        foreign.keys = dict.fromkeys(foreign.keys, next(iter(foreign.keys.values())))
        with pytest.raises((UnverifiedSignatureError, AssertionError)):  # the wrong key opens nothing
            foreign.pull(0)
    for node in others:
        stream = [record for record in records if (record["origin"], record["stream"]) == (node.node_id, "all")]
        assert [record["sequence"] for record in stream] == [1, 2]
        assert [record["previous"] for record in stream] == ["", stream[0]["id"]]
        assert {record["content"]["n"] for record in stream} <= {0, 1, 2, 3}

"""The member list as others read it: python-tuf's own client and securesystemslib over plain HTTP, nothing of ours."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from securesystemslib.formats import encode_canonical
from securesystemslib.signer import Key, Signature
from tuf.ngclient import Updater

from federation.changes import add_member, set_document
from federation.documents import sha256_hex
from federation.drafts import place_hold
from tests.federation.conftest import Circle, entry_of, new_signer


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def _serve(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _lay_out(files: dict[str, bytes], folder: Path) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def test_python_tufs_client_reads_members_schemas_and_holds(tmp_path: Path) -> None:
    circle = Circle(now=datetime.now(UTC))  # the stock client asks the machine's clock
    member = entry_of(new_signer(), "甲学院", code="12345")
    schema = b'{"$id":"urn:gonghui:schema:release.v2"}'
    circle.change(add_member(member), set_document("schemas/release.v2.json", schema))
    officer = circle.officers[1]
    circle.publish(place_hold(circle.latest, member.id, officer.public_key.keyid, now=circle.now), officer)
    _lay_out(circle.served, tmp_path / "served")
    with _serve(tmp_path / "served") as url:
        (tmp_path / "metadata").mkdir()
        updater = Updater(str(tmp_path / "metadata"), url, str(tmp_path), f"{url}targets/", bootstrap=circle.root)
        updater.refresh()

        def target(path: str) -> bytes:
            info = updater.get_targetinfo(path)
            assert info is not None, path
            return Path(updater.download_target(info)).read_bytes()

        index = json.loads(target("index.json"))
        listed: dict[str, Any] = {}
        for path, digest in index["files"].items():
            data = target(path)
            assert sha256_hex(data) == digest
            if path.startswith("members-"):
                listed |= {entry["id"]: entry for entry in json.loads(data)["members"]}
        assert listed[member.id]["keys"][0]["keyid"] == member.keys[0].keyid
        assert target("schemas/release.v2.json") == schema
        assert [hold["member"] for hold in json.loads(target("hold.json"))["holds"]] == [member.id]


def test_a_signature_of_the_list_is_checked_with_securesystemslib_alone(circle: Circle) -> None:
    root = json.loads(circle.root)["signed"]
    targets = json.loads(circle.served["1.targets.json"])
    signed = encode_canonical(targets["signed"])
    assert signed is not None
    names = {signature["keyid"] for signature in targets["signatures"]}
    assert len(names & set(root["roles"]["targets"]["keyids"])) == root["roles"]["targets"]["threshold"] == 2
    for signature in targets["signatures"]:
        key = Key.from_dict(signature["keyid"], dict(root["keys"][signature["keyid"]]))
        key.verify_signature(Signature(signature["keyid"], signature["sig"]), signed.encode())

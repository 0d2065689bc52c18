"""A node's signing key turned over: a new one is asked for, both speak once it is listed, then the old one rests.

    rotate   node.key.next is made -> request signed by both keys -> listed -> it becomes node.key, the old node.key.1
    replace  the key is lost or stolen: the node's new key asks, and the officers revoke the old one

Between listing and `enrol retire` both keys are accepted, so the running node may be restarted at any time.
"""

from pathlib import Path

from federation.enrolment import REPLACE, ROTATE, build_request
from federation.errors import StorageError
from federation.keys import ED25519, new_private_pem, read_signer, write_private_file
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import KEY_FILE, Node
from node.exchange.enrolling import Sent, hand_in, own_applicant
from node.exchange.links import Connect, open_client
from node.stream.memberlist import open_held
from node.stream.service import find_federation, get_federation

NEXT_FILE = f"{KEY_FILE}.next"


def request_rotation(node: Node, actor: Actor, *, connect: Connect = open_client) -> Sent:
    """Make the next key (once) and ask for it, signed by it and by the present one."""
    check_permission(actor, "peer.write")
    path = node.folder / NEXT_FILE
    if not path.exists():
        scheme = node.signer.public_key.scheme
        write_private_file(path, new_private_pem(scheme if scheme else ED25519))
    return _ask(node, actor, ROTATE, path, connect)


def request_replacement(node: Node, actor: Actor, *, connect: Connect = open_client) -> Sent:
    """Ask for the key that this node holds now in place of the one that the list names."""
    check_permission(actor, "peer.write")
    return _ask(node, actor, REPLACE, node.folder / KEY_FILE, connect)


def adopt_if_listed(node: Node, actor: Actor) -> bool:
    """Turn to the next key where the list names it as ours; return whether that was done just now."""
    check_permission(actor, "sync.read")
    path = node.folder / NEXT_FILE
    if not path.exists():
        return False
    keyid = read_signer(path.read_bytes()).public_key.keyid
    with node.database.read() as session:
        federation = find_federation(session)
        held = open_held(session, federation.id, node.clock()) if federation else None
    entry = held.members.get(node.node_id) if held else None
    if entry is None or keyid not in {key.keyid for key in entry.active_keys}:
        return False
    _turn(node.folder)
    with node.database.write() as session:
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="key.turn", subject=node.node_id, at=at, keyid=keyid)
    return True


def _turn(folder: Path) -> None:
    """Let the next key be the key; the old one stays beside it. A crash between the two leaves both, and is mended."""
    kept = folder / f"{KEY_FILE}.{len(list(folder.glob(f'{KEY_FILE}.[0-9]*'))) + 1}"
    try:
        kept.hardlink_to(folder / KEY_FILE)
        (folder / NEXT_FILE).replace(folder / KEY_FILE)
    except OSError as error:
        raise StorageError(
            "file-unwritable", f"不能更换密钥文件：{error.strerror}。", f"Cannot turn the key file: {error.strerror}."
        ) from error


def _ask(node: Node, actor: Actor, kind: str, path: Path, connect: Connect) -> Sent:
    with node.database.read() as session:
        federation = get_federation(session)
    applicant = own_applicant(node)
    signer = node.signer if kind == REPLACE else read_signer(path.read_bytes())
    file = build_request(
        signer,
        applicant,
        federation=federation.id,
        kind=kind,
        at=node.clock(),
        present=node.signer if kind == ROTATE else None,
    )
    with node.database.write() as session:
        at, keyid = node.clock(), signer.public_key.keyid
        action = f"key.{kind}-request"
        write_audit(session, account_id=actor.account_id, action=action, subject=node.node_id, at=at, keyid=keyid)
    return hand_in(node, federation.id, file, signer.public_key, connect=connect)

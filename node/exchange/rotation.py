"""A node's signing key turned over: a new one is asked for, both speak once it is listed, then the old one rests.

    rotate   node.key.next is made -> request signed by both keys -> listed -> it becomes node.key
    replace  the key is lost or stolen: the node's new key asks, and the officers revoke the old one

Between listing and `enrol retire` both keys are accepted, so the running node may be restarted at any time.
"""

from pathlib import Path

from securesystemslib.signer import Signer

from federation.enrolment import REPLACE, ROTATE, build_request
from federation.errors import Conflict, StorageError
from federation.keys import new_private_pem, read_signer, write_private_file
from federation.lockbox import lock
from node.access.permissions import Actor, check_permission
from node.audit import write_audit
from node.context import Node
from node.exchange.enrolling import Sent, hand_in, own_applicant
from node.exchange.links import Connect, open_client
from node.keyring import KEY_FILE, NEXT_FILE, find_passphrase, lock_name, open_key_file
from node.stream.memberlist import open_held
from node.stream.models import Federation
from node.stream.service import get_federation, list_federations


def request_rotation(node: Node, actor: Actor, *, connect: Connect = open_client) -> Sent:
    """Make the next key (once) and ask for it, signed by both; raise Conflict where the key lives in a token."""
    check_permission(actor, "peer.write")
    if node.settings.keys.pkcs11_module:
        raise Conflict(
            "key-in-token",
            "签名密钥在密码设备中：请在设备中生成新密钥、改好 [keys]，再运行 gonghui enrol replace。",
            "The key lives in a token: make a new one there, set [keys], then run `gonghui enrol replace`.",
        )
    path = node.folder / NEXT_FILE
    if not path.exists():
        pem = new_private_pem(node.signer.public_key.scheme)
        passphrase = find_passphrase(node.folder, node.settings.keys)
        write_private_file(path, lock(pem, lock_name(path), passphrase) if passphrase else pem)
    return _ask(node, actor, ROTATE, _next_signer(node), connect)


def _next_signer(node: Node) -> Signer:
    return read_signer(open_key_file(node.folder / NEXT_FILE, find_passphrase(node.folder, node.settings.keys)))


def request_replacement(node: Node, actor: Actor, *, connect: Connect = open_client) -> Sent:
    """Ask for the key that this node holds now in place of the one that the list names."""
    check_permission(actor, "peer.write")
    return _ask(node, actor, REPLACE, node.signer, connect)


def adopt_if_listed(node: Node, actor: Actor) -> bool:
    """Turn to the next key where every list that names us names it as ours; return whether that was done just now.

    A parent that does not list it yet would hear nothing more from us.
    """
    check_permission(actor, "sync.read")
    naming, missing = _find_lists(node)
    if not naming or missing:
        return False
    keyid = _next_signer(node).public_key.keyid
    _turn(node.folder)
    with node.database.write() as session:
        at = node.clock()
        write_audit(session, account_id=actor.account_id, action="key.turn", subject=node.node_id, at=at, keyid=keyid)
    return True


def list_awaited(node: Node, actor: Actor) -> list[Federation]:
    """Return the federations whose list names us and not the next key: with them it waits. None where none waits."""
    check_permission(actor, "sync.read")
    return _find_lists(node)[1]


def _find_lists(node: Node) -> tuple[list[Federation], list[Federation]]:
    """Return the federations whose list names us, and of these those where the next key is not ours yet."""
    if not (node.folder / NEXT_FILE).exists():
        return [], []
    keyid = _next_signer(node).public_key.keyid
    naming, missing = [], []
    with node.database.read() as session:
        for federation in list_federations(session):
            held = open_held(session, federation.id, node.clock())
            entry = held.members.get(node.node_id) if held else None
            if entry is not None:  # where we were never listed nobody waits for us
                naming.append(federation)
                missing += [] if keyid in {key.keyid for key in entry.active_keys} else [federation]
    return naming, missing


def _turn(folder: Path) -> None:
    """Let the next key be the key: one step, whole or not at all. The old one opens nothing and need not be kept."""
    try:
        (folder / NEXT_FILE).replace(folder / KEY_FILE)
    except OSError as error:
        raise StorageError(
            "file-unwritable", f"不能更换密钥文件：{error.strerror}。", f"Cannot turn the key file: {error.strerror}."
        ) from error


def _ask(node: Node, actor: Actor, kind: str, signer: Signer, connect: Connect) -> Sent:
    with node.database.read() as session:
        federation = get_federation(session, node)
    applicant = own_applicant(node)
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

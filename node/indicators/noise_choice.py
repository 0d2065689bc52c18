"""On which noise the federations of this node agree: their lists' documents, and one answer for all."""

from sqlmodel import Session

from federation.catalogue import load_catalogue
from federation.errors import Conflict
from federation.protection import PROTECTION, Protection, read_protection
from node.stream.listed import find_listed
from node.stream.service import list_federations


def find_protection(session: Session, federation: str) -> Protection:
    """Return what the list in force agrees on; raise TrustError where this program cannot read it."""
    return read_protection(find_listed(session, federation, PROTECTION), load_catalogue())


def agreed_protection(session: Session) -> Protection:
    """Return the choice of all federations of this node; a release is the same bytes in each, so they must agree."""
    found = [find_protection(session, federation.id) for federation in list_federations(session)]
    if any(choice != found[0] for choice in found):
        raise Conflict(
            "protection-differs",
            "本节点所在的各联合体对加噪的约定不同，同一份发布无法都符合；请让各方签署人统一 protection.json。",
            "The federations of this node agree on different noise, and one release cannot keep to both; their "
            "officers have to settle on one protection.json.",
        )
    return found[0] if found else Protection({})

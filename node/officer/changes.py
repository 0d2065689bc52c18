"""From a node's request to the changes of the list that grant it."""

from federation.changes import Change, add_key, add_member, come_back, describe, hand_over, key_entry, replace_key
from federation.enrolment import JOIN, REPLACE, ROTATE, EnrolmentRequest, read_request
from federation.errors import Conflict, TrustError
from federation.keys import public_pem, read_public_key
from federation.membership import MemberList
from federation.roll import LEFT, MemberEntry


def changes_of(held: MemberList, data: bytes) -> list[Change]:
    """Return the changes that grant a request; raise TrustError or Conflict where the list forbids it.

    `join` adds a member, or takes one that left in again; `rotate` adds a key beside the present one, which must have
    signed too, and at the hub lets it sign the list; `replace` revokes what was there as of the request.
    """
    request = read_request(data)
    if request.federation not in {"", held.federation}:
        raise TrustError("audience-mismatch", "这是给另一联合体的申请。", "The request is for another federation.")
    known = held.members.get(request.applicant.id)
    if request.kind == JOIN:
        return _join(request, known)
    if known is None:
        raise Conflict("member-unknown", "名录中没有这个成员。", "There is no such member in the list.")
    pem = public_pem(request.key)
    if request.kind == ROTATE:
        if not any(request.is_signed_by(read_public_key(key.pem)) for key in known.active_keys):
            raise TrustError(
                "rotation-unsigned",
                "更换密钥的申请没有用现有密钥签名。密钥遗失时请用 gonghui enrol replace。",
                "The present key has not signed this rotation. Where it is lost, use `gonghui enrol replace`.",
            )
        key = request.key.keyid  # of the hub: root names the one that signs the list
        takes_over = [hand_over(known.id, key)] if known.id == held.roll.hub else []
        return [add_key(known.id, pem), *takes_over, _reached(request)]
    if request.kind == REPLACE and request.issued_at is not None:
        return [replace_key(known.id, pem, request.issued_at), _reached(request)]
    raise Conflict("request-kind", "不认识的申请类型，请升级。", "Unknown kind of request; update this program.")


def _join(request: EnrolmentRequest, known: MemberEntry | None) -> list[Change]:
    pem = public_pem(request.key)
    applicant = request.applicant
    if known is None:
        return [add_member(MemberEntry(**vars(applicant), keys=(key_entry(pem),)))]
    if request.key.keyid not in {key.keyid for key in known.active_keys}:
        raise TrustError(
            "peer-key-changed",
            "此成员已用另一把密钥登记，已拒绝。请电话核实；密钥遗失时请用 gonghui enrol replace。",
            "This member is listed with another key; refused. Ask by telephone; for a lost key: `enrol replace`.",
        )
    named = describe(applicant.id, name=applicant.name, code=applicant.code)
    return [*([come_back(known.id)] if known.status == LEFT else []), named, _reached(request)]


def _reached(request: EnrolmentRequest) -> Change:
    """Return the change of how a member is reached. A new key renames nobody: officers may have done so meanwhile."""
    asked = request.applicant
    return describe(asked.id, url=asked.url, transport=asked.transport, sealing_key=asked.sealing_key)

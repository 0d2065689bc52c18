"""When two signed documents contradict each other: the one definition of equivocation.

Every document of an origin says which id stands at which place of its own streams:

    record      its own id at (federation, origin, stream, sequence) and at (federation, origin, audience, subject,
                revision); the id it calls `previous` at the sequence before
                Where a stream begins anew (`generations`) `previous` is further back, and revisions may be said again
    heads       of its own streams: the id at each sequence that it names
    refusal     of its own record (`grant-missing`, in that record's place): the id at its sequence

Two documents that an origin signed and that say different ids at one place are the proof: two envelopes, which anybody
can check who has the origin's key. What another reader states about an origin proves nothing against that origin: it
is the reason to ask that reader for the record.
"""

from collections.abc import Callable
from dataclasses import dataclass

from federation.acceptance import Record, read_receipt_payload, read_signed_record
from federation.documents import read_time
from federation.envelope import (
    HEADS_TYPE,
    RECEIPT_TYPE,
    RECORD_TYPE,
    SEALED_TYPE,
    Envelope,
    check_signature,
    read_envelope,
)
from federation.errors import TrustError
from federation.generations import generation_of, may_reopen
from federation.keys import Member
from federation.request import signing_member
from federation.statements import check_in_time, open_heads

FindMember = Callable[[str], Member | None]
Place = tuple[str, ...]  # (federation, origin, `sequence` or `revision`, stream, what)


@dataclass(frozen=True)
class Contradiction:
    """What two documents of one origin prove: two ids at one place."""

    federation: str
    origin: str
    kind: str  # sequence or revision
    stream: str
    what: str  # the sequence; or subject and revision
    first: str
    second: str


def claims_of_record(record: Record) -> dict[Place, str]:
    """Return which id this record says stands where."""
    start = (record.federation, record.origin)
    claims: dict[Place, str] = {
        (*start, "sequence", record.stream, str(record.sequence)): record.id,
    }
    if record.sealed is None or record.opened:
        anew = f" ~{generation_of(record.sequence)}" if generation_of(record.sequence) else ""
        claims[(*start, "revision", record.stream, f"{record.subject} #{record.revision}{anew}")] = record.id
    if record.sequence > 1 and not may_reopen(record.sequence):
        claims[(*start, "sequence", record.stream, str(record.sequence - 1))] = record.previous
    return claims


def claims_of(data: bytes, find_member: FindMember) -> dict[Place, str]:
    """Verify a record, heads or a refusal and return what its signer says of its own streams; raise TrustError."""
    envelope = read_envelope(data)
    kind = envelope.payload_type
    if kind in {RECORD_TYPE, SEALED_TYPE}:
        return claims_of_record(read_signed_record(data, find_member)[0])
    if kind == HEADS_TYPE:
        stated = open_heads(data, find_member, kept=True)
        start = (stated.federation, stated.issuer, "sequence", stated.stream)
        return {(*start, str(head.sequence)): head.id for head in stated.heads if head.origin == stated.issuer}
    if kind == RECEIPT_TYPE:
        return _claims_of_refusal(envelope, find_member)
    raise TrustError("type-mismatch", "此类文件不能证明自相矛盾。", "Documents of this type cannot prove this.")


def _claims_of_refusal(envelope: Envelope, find_member: FindMember) -> dict[Place, str]:
    member = signing_member(envelope, find_member, older_keys=True)
    check_signature(envelope, member.key)
    said = read_receipt_payload(envelope)
    check_in_time(envelope, find_member, read_time(said["issued_at"]))
    named = said["record"]
    if (said["issuer"], said["federation"]) != (member.id, member.federation) or named["origin"] != member.id:
        raise TrustError("origin-mismatch", "回执不是来源节点自己的。", "This receipt is not by the record's origin.")
    return {(said["federation"], member.id, "sequence", named["stream"], str(named["sequence"])): named["id"]}


def check_contradiction(first: bytes, second: bytes, find_member: FindMember) -> Contradiction:
    """Return what two documents prove against their common origin; raise TrustError `no-contradiction` else."""
    before, after = claims_of(first, find_member), claims_of(second, find_member)
    for place, identity in before.items():
        other = after.get(place, identity)
        if other != identity:
            federation, origin, kind, stream, what = place
            return Contradiction(federation, origin, kind, stream, what, identity, other)
    raise TrustError("no-contradiction", "这两份文件并不矛盾。", "These two documents do not contradict each other.")

"""A member list of one's own for tests: keys of officers and nodes in memory, and a server that can lie."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata

from federation.changes import Change, key_entry
from federation.drafts import Draft, complete, found, propose, read_outcome, sign_draft
from federation.editions import resign
from federation.errors import TrustError
from federation.keys import ED25519, new_identifier, new_private_pem, public_pem, read_signer
from federation.membership import MemberList, refresh
from federation.metadata import role_of
from federation.roll import MemberEntry, Officer, Roll

START = datetime(2027, 1, 4, 8, tzinfo=UTC)


def new_signer(scheme: str = ED25519) -> CryptoSigner:
    return read_signer(new_private_pem(scheme))


def officer_of(signer: CryptoSigner, name: str = "签署人") -> Officer:
    return Officer(name, public_pem(signer.public_key))


def entry_of(signer: CryptoSigner, name: str = "甲学院", **more: Any) -> MemberEntry:
    more.setdefault("id", new_identifier("n"))
    return MemberEntry(name=name, keys=(key_entry(public_pem(signer.public_key)),), **more)


@dataclass
class Circle:
    """A federation in memory: three officers (two sign), a hub, what the hub serves, and what one reader holds."""

    now: datetime = START
    officers: list[CryptoSigner] = field(default_factory=lambda: [new_signer() for _ in range(3)])
    hub: CryptoSigner = field(default_factory=new_signer)
    served: dict[str, bytes] = field(default_factory=dict)
    held: dict[str, bytes] = field(default_factory=dict)
    root: bytes = b""
    latest: MemberList = field(init=False)  # as the officers know it

    def __post_init__(self) -> None:
        hub = entry_of(self.hub, "省总", roles=("hub",), url="https://hub.example.edu")
        officers = tuple(officer_of(signer, f"签署人{n}") for n, signer in enumerate(self.officers))
        roll = Roll(new_identifier("f"), "示例联合体", hub.id, self.hub.public_key.keyid, officers, 2, {hub.id: hub})
        self.publish(found(roll, now=self.now), first=True)
        self.root = self.served["1.root.json"]

    @property
    def federation(self) -> str:
        return self.latest.federation

    def sign(self, draft: Draft, *signers: CryptoSigner, first: bool = False) -> Draft:
        held = None if first else self.latest
        for signer in signers or self.officers[:2]:
            draft = sign_draft(held, draft, signer, seen=read_outcome(held, draft))
        return draft

    def publish(self, draft: Draft, *signers: CryptoSigner, first: bool = False) -> MemberList:
        draft = self.sign(draft, *signers, first=first)
        self.latest = complete(None if first else self.latest, draft, self.hub, now=self.now)
        self.served = dict(self.latest.files)
        return self.latest

    def change(self, *changes: Change, signers: tuple[CryptoSigner, ...] = ()) -> MemberList:
        return self.publish(propose(self.latest, *changes, now=self.now), *signers)

    def resign(self) -> None:
        self.served = resign(self.served, self.hub, now=self.now)

    def pass_days(self, days: float) -> None:
        self.now += timedelta(days=days)

    def read(self) -> MemberList:
        """Refresh the reader; what it holds changes only when that succeeds."""
        found = refresh(self.root, self.held, self.served.get, federation=self.federation, now=self.now)
        self.held = dict(found.files)
        return found

    def refused(self, code: str) -> None:
        """Expect the reader to refuse what is served, and to hold what it held."""
        before = dict(self.held)
        with pytest.raises(TrustError) as refused:
            self.read()
        assert (refused.value.code, self.held) == (code, before)

    def path(self, role: str) -> str:
        """Return the newest served path of a role."""
        paths = [path for path in self.served if role_of(path) == role]
        return max(paths, key=lambda path: int(path.partition(".")[0]) if path[0].isdecimal() else 0)

    def forge(self, role: str, edit: Callable[[Any], None], *signers: CryptoSigner) -> bytes:
        """Change the served file of a role and sign it with the keys that a thief or a liar has."""
        metadata: Metadata[Any] = Metadata.from_bytes(self.served[self.path(role)])
        edit(metadata.signed)
        metadata.signatures.clear()
        for signer in signers:
            metadata.sign(signer, append=True)
        return metadata.to_bytes()


@pytest.fixture
def circle() -> Circle:
    return Circle()

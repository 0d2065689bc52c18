"""An officer's folder: the key that signs, its public card, the federation's anchor, and the list last verified.

officer.key    private key, PKCS#8 PEM, mode 0600, with a passphrase if wished: a stick in a safe
officer.json   the card that others get
anchor.json    pinned once; a root that this officer signed needs no other proof
list.json      {"path": "text"}: every later list is compared with it
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from securesystemslib.signer import CryptoSigner

from federation.anchor import Anchor, read_anchor
from federation.errors import Conflict, StorageError, TrustError
from federation.keys import ED25519, write_private_file
from federation.listfile import read_list_file, write_list_file
from federation.membership import MemberList, open_list
from federation.officers import build_card, new_officer_key, read_card, read_officer_key
from federation.roll import Officer

KEY, CARD, ANCHOR, LIST = "officer.key", "officer.json", "anchor.json", "list.json"


@dataclass(frozen=True)
class OfficerFolder:
    """One officer's files at `path`."""

    path: Path

    @property
    def officer(self) -> Officer:
        """Return name and public key; raise InputRefused or TrustError."""
        return read_card(self._read(CARD))

    @property
    def card(self) -> bytes:
        """Return the card's bytes."""
        return self._read(CARD)

    def signer(self, passphrase: str = "") -> CryptoSigner:
        """Return the signing key; raise TrustError for a wrong passphrase."""
        signer = read_officer_key(self._read(KEY), passphrase)
        if signer.public_key.keyid != self.officer.keyid:
            raise TrustError("key-id-mismatch", "密钥与公钥卡不符。", "The key is not the one of the card.")
        return signer

    def find_anchor(self) -> Anchor | None:
        """Return the pinned anchor; None where nothing was pinned yet."""
        return read_anchor(self._read(ANCHOR)) if (self.path / ANCHOR).exists() else None

    def pin(self, data: bytes) -> Anchor:
        """Pin an anchor; raise TrustError where another federation or root is pinned."""
        anchor, known = read_anchor(data), self.find_anchor()
        if known is not None and (known.federation, known.root) != (anchor.federation, anchor.root):
            raise TrustError(
                "anchor-differs", "此目录已固定另一个信任锚。", "Another anchor is pinned in this folder; refused."
            )
        if known is None:
            self._write(ANCHOR, data)
        return anchor

    def pin_successor(self, data: bytes) -> Anchor:
        """Pin the anchor of a federation founded anew in the place of the old one, whose list is kept no longer."""
        self._write(LIST, write_list_file({}))
        self._write(ANCHOR, data)
        return read_anchor(data)

    def held_files(self) -> dict[str, bytes]:
        """Return the files of the list that was verified last; none at first."""
        return read_list_file(self._read(LIST)) if (self.path / LIST).exists() else {}

    def held(self, now: datetime) -> MemberList | None:
        """Return the list that was verified last; None at first."""
        anchor, files = self.find_anchor(), self.held_files()
        if anchor is None or not files:
            return None
        return open_list(anchor.root, files, federation=anchor.federation, now=now)

    def keep(self, found: MemberList) -> None:
        """Keep a verified list; what is signed next is compared with it."""
        self._write(LIST, write_list_file(found.files))

    def _read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise StorageError(
                "officer-folder",
                f"读不到 {self.path / name}：{error.strerror}。请先运行 gonghui federation officer。",
                f"Cannot read {self.path / name}: {error.strerror}. Run `gonghui federation officer` first.",
            ) from error

    def _write(self, name: str, data: bytes) -> None:
        draft = self.path / f"{name}.new"
        try:
            draft.write_bytes(data)
            draft.replace(self.path / name)
        except OSError as error:
            raise StorageError(
                "file-unwritable",
                f"不能写入 {self.path / name}：{error.strerror}。",
                f"Cannot write {self.path / name}: {error.strerror}.",
            ) from error


def make_officer(path: Path, name: str, passphrase: str = "", scheme: str = ED25519) -> OfficerFolder:
    """Make an officer's folder with a new key and its card; raise Conflict where one is there."""
    if (path / KEY).exists():
        raise Conflict("officer-exists", f"{path} 里已有管理员密钥。", f"{path} holds an officer's key already.")
    pem = new_officer_key(passphrase, scheme)
    card = build_card(read_officer_key(pem, passphrase), name)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private_file(path / KEY, pem)
        (path / CARD).write_bytes(card)
    except OSError as error:
        raise StorageError(
            "folder-unwritable", f"无法写入 {path}：{error.strerror}。", f"Cannot write {path}: {error.strerror}."
        ) from error
    return OfficerFolder(path)


def is_private(path: Path) -> bool:
    """Tell whether only its owner may read the key file."""
    return not (path / KEY).stat().st_mode & 0o077

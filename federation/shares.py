"""A node's keys as one locked file and n shares of its key, of which any k open it (SLIP-39, words for paper).

Fewer than k shares say nothing about the key; the file says nothing without it. A share alone names its set, its number
and k, and carries a checksum, so that a mistyped word is found at once.
"""

import base64
import secrets
from collections.abc import Mapping, Sequence

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics

from federation.documents import dump_document, read_object
from federation.errors import InputRefused, TrustError, UsageError
from federation.lockbox import lock, unlock

BACKUP_NAME = "node.keys"
MAX_SHARES = 16  # SLIP-39
_KEY_BYTES = 32


def split_keys(files: Mapping[str, bytes], *, shares: int, threshold: int) -> tuple[bytes, list[str]]:
    """Return the locked file and the shares (33 words each) of `files` (name -> content); raise UsageError."""
    if not 2 <= threshold <= shares <= MAX_SHARES:
        raise UsageError(
            "shares-count",
            f"份额最多 {MAX_SHARES} 份，门限至少 2 且不超过份数。",
            f"At most {MAX_SHARES} shares; the threshold is at least 2 and at most their number.",
        )
    key = secrets.token_bytes(_KEY_BYTES)
    content = dump_document({name: base64.b64encode(data).decode() for name, data in files.items()})
    words = generate_mnemonics(1, [(threshold, shares)], key)[0]
    return lock(content, BACKUP_NAME, key), list(words)


def join_keys(locked: bytes, shares: Sequence[str]) -> dict[str, bytes]:
    """Return name -> content of the files; raise InputRefused where the shares are not of one set, too few or misspelt.

    Raise TrustError where they belong to another file.
    """
    words = [" ".join(share.lower().split()) for share in shares]
    for number, share in enumerate(words, 1):
        _check_spelling(number, share)
    try:
        needed = Share.from_mnemonic(words[0]).member_threshold if words else 0  # the library takes no more than these
        key = combine_mnemonics(list(dict.fromkeys(words))[:needed])
    except MnemonicError:  # its message may quote a share
        raise InputRefused(
            "shares-unfit",
            "份额不足，或不属于同一份备份。请凑足门限数。",
            "Too few shares, or shares of different backups. Give enough of one backup.",
        ) from None
    content = read_object(unlock(locked, BACKUP_NAME, key))
    files: dict[str, bytes] = {}
    for name, text in content.items():
        if not isinstance(text, str):
            raise TrustError("lock-unknown", "不认识的备份内容。", "The backup holds something unknown.")
        files[name] = base64.b64decode(text)
    return files


def _check_spelling(number: int, share: str) -> None:
    """Raise InputRefused naming which share has a mistyped word: each carries a checksum. None of it is quoted."""
    try:
        Share.from_mnemonic(share)
    except MnemonicError:
        raise InputRefused(
            "share-misspelt",
            f"第 {number} 份份额有错字或缺词，请逐词核对。",
            f"Share no. {number} has a mistyped or missing word; compare it word by word.",
            number=number,
        ) from None

"""Locked files open with their secret under their name and in no other way; shares open from their threshold on."""

import itertools
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import GonghuiError, InputRefused, TrustError, UsageError
from federation.lockbox import Passphrase, is_locked, lock, unlock
from federation.shares import join_keys, split_keys

SECRET = "correct horse battery staple"
KEY = bytes(range(32))


def test_a_file_opens_with_its_passphrase_and_name() -> None:
    locked = lock(b"content", "node.key", Passphrase(SECRET))
    assert is_locked(locked)
    assert b"content" not in locked
    assert unlock(locked, "node.key", Passphrase(SECRET)) == b"content"
    with pytest.raises(TrustError, match="unlock-failed") as caught:
        unlock(locked, "node.key", Passphrase(SECRET + "!"))
    assert caught.value.__cause__ is None
    with pytest.raises(TrustError, match="lock-unknown"):
        unlock(locked, "node.seal", Passphrase(SECRET))
    renamed = locked.replace(b'"name":"node.key"', b'"name":"node.seal"')
    with pytest.raises(TrustError, match="unlock-failed"):
        unlock(renamed, "node.seal", Passphrase(SECRET))


def test_files_of_one_passphrase_share_their_salt_and_no_nonce() -> None:
    passphrase = Passphrase(SECRET)
    first, second = (json.loads(lock(b"same", "node.key", passphrase)) for _ in range(2))
    assert first["salt"] == second["salt"]
    assert first["nonce"] != second["nonce"]
    assert first["sealed"] != second["sealed"]


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_no_changed_byte_is_taken(data: st.DataObject) -> None:
    locked = bytearray(lock(b"content", "node.key", KEY))
    place = data.draw(st.integers(0, len(locked) - 2))  # the last is the line end
    value = data.draw(st.integers(0, 255).filter(lambda v: v != locked[place]))
    locked[place] = value
    with pytest.raises(GonghuiError) as caught:
        unlock(bytes(locked), "node.key", KEY)
    assert caught.value.code in {"unlock-failed", "lock-unknown"} or caught.value.code.startswith("json-")


def test_a_passphrase_shows_itself_nowhere() -> None:
    passphrase = Passphrase(SECRET)
    passphrase.key(b"salt")
    assert SECRET not in repr(passphrase) + str(passphrase)
    with pytest.raises(InputRefused) as caught:
        Passphrase("short-one")
    assert "short-one" not in str(caught.value)
    program = (
        f"from federation.lockbox import *\nunlock(lock(b'x', 'a', Passphrase({SECRET!r})), 'a', Passphrase('x' * 12))"
    )
    done = subprocess.run([sys.executable, "-"], input=program, capture_output=True, text=True, check=False)
    assert "unlock-failed" in done.stderr
    assert SECRET not in done.stderr


def test_any_three_of_five_shares_open_the_backup_and_no_two() -> None:
    files = {"node.key": b"-----BEGIN", "node.secret": bytes(range(32))}
    locked, shares = split_keys(files, shares=5, threshold=3)
    assert len(set(shares)) == 5
    assert {len(share.split()) for share in shares} == {33}
    for some in itertools.combinations(shares, 3):
        assert join_keys(locked, some) == files
    assert join_keys(locked, shares) == files, "more than enough is enough"
    assert join_keys(locked, [f"  {shares[0].upper()}\n", *shares[1:3]]) == files
    for few in itertools.combinations(shares, 2):
        with pytest.raises(InputRefused, match="shares-unfit"):
            join_keys(locked, few)


def test_shares_that_do_not_fit_are_told_without_being_quoted() -> None:
    locked, shares = split_keys({"node.key": b"1"}, shares=3, threshold=2)
    other, others = split_keys({"node.key": b"2"}, shares=3, threshold=2)
    words = shares[0].split()
    misspelt = " ".join([*words[:-1], "academic" if words[-1] != "academic" else "acid"])
    for wrong, code in (
        ([shares[0], others[1]], "shares-unfit"),
        ([shares[0], shares[0]], "shares-unfit"),
        ([], "shares-unfit"),
        ([shares[1], misspelt], "share-misspelt"),
        ([shares[1], "zebra " * 33], "share-misspelt"),
    ):
        with pytest.raises(InputRefused, match=code) as caught:
            join_keys(locked, wrong)
        assert caught.value.params.get("number", 2) == 2  # which of them, and no word of it
        assert not set(words) & set(caught.value.text.en.split())
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
    with pytest.raises(TrustError, match="unlock-failed"):
        join_keys(other, shares[:2])


@pytest.mark.parametrize(("shares", "threshold"), [(5, 1), (2, 3), (17, 3), (0, 0), (1, 1)])
def test_numbers_that_protect_nothing_are_refused(shares: int, threshold: int) -> None:
    with pytest.raises(UsageError, match="shares-count"):
        split_keys({"node.key": b"1"}, shares=shares, threshold=threshold)

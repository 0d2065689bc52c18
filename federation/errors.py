"""The one tree of errors. Each says what is wrong and how to mend it, in Chinese and English.

    GonghuiError             1   500  internal
    +-- UsageError           2   400  the command or request is misspelt
    +-- InputRefused         3   422  a file or a form was read and refused
    +-- NotPermitted         4   403  this account may not
    +-- TrustError           5   403  a signature, a key or an origin does not hold
    +-- NetworkError         6   502  a peer could not be reached or did not speak the protocol
    +-- Conflict             7   409  somebody else was quicker, or it exists already
    +-- StorageError         8   503  disk or database

The first figure is the exit code of the command, the second the HTTP status. `code` is stable and is what
programs match on; texts may change. No personal value ever stands in an error: callers mask before they raise.
"""

from typing import Any, ClassVar, NamedTuple


class Text(NamedTuple):
    """One sentence in both languages of the product."""

    zh: str
    en: str

    def in_language(self, language: str) -> str:
        """Return the Chinese text unless `language` is English."""
        return self.en if language.startswith("en") else self.zh


class GonghuiError(Exception):
    """Something went wrong that a person should read about."""

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, code: str, zh: str, en: str, **params: Any) -> None:
        """Keep the stable `code`, both texts, and `params` for machines (never personal values)."""
        super().__init__(f"{code}: {en}")
        self.code = code
        self.text = Text(zh, en)
        self.params = params


class UsageError(GonghuiError):
    """The command, request or configuration is misspelt."""

    exit_code = 2
    http_status = 400


class InputRefused(GonghuiError):
    """A file or form was read and is not acceptable."""

    exit_code = 3
    http_status = 422


class NotPermitted(GonghuiError):
    """The acting account may not do this."""

    exit_code = 4
    http_status = 403


class TrustError(GonghuiError):
    """A signature, key, origin or audience does not hold."""

    exit_code = 5
    http_status = 403


class NetworkError(GonghuiError):
    """A peer could not be reached, or what it said is not the protocol."""

    exit_code = 6
    http_status = 502


class Conflict(GonghuiError):
    """Somebody else was quicker, or the thing exists already."""

    exit_code = 7
    http_status = 409


class StorageError(GonghuiError):
    """Disk or database refused: full, read-only, locked or gone."""

    exit_code = 8
    http_status = 503

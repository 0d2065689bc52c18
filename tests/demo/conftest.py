"""The command as a process, as the tests of the commands have it."""

from tests.cli.conftest import gonghui

__all__ = ["gonghui"]

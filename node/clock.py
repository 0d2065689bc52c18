"""The one place that reads the time, so that tests can turn the clock.

Every time is aware and in UTC; pages show it in the node's own zone.
"""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def now() -> datetime:
    """Return the time, aware, in UTC, to the microsecond."""
    return datetime.now(UTC)


def format_time(at: datetime) -> str:
    """Return `2026-10-01T08:00:00Z`: the one spelling of a time in documents, whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

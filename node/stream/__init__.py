"""Signed records: this node's own streams, their positions in the log, and the outbox."""

from node.stream import states  # noqa: F401  guards the states of every row

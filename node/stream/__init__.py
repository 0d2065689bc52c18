"""Signed records: this node's own streams, their positions in the log, and the outbox."""

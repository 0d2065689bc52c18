"""Strict JSON, read once: duplicate keys, NaN and numbers beyond 2^53 are refused."""

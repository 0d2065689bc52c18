"""Exact totals over blocks of nodes by secret sharing: consent, rounds as signed records, keys that are destroyed."""

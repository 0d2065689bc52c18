"""Indicators computed in SQL for (period, known_at), and their release through the gate."""

"""Combination of many nodes' observations, with coverage; missing is never zero."""

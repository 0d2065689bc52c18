"""Accounts, roles, sign-in: who may do what."""

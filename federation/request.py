"""Requests and answers: bound to each other, to one audience and to a time."""

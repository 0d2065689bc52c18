"""What may be believed and what may be released: pure functions and state machines.

No database, no web framework, no scheduler; `client` alone opens sockets.
"""

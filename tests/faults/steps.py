"""Where a node can be stopped: every step of publish, push, pull, receive and of a stick, by the name of what it calls.

A step is wrapped from outside, wherever its name was imported to; the product knows nothing of it. `before` leaves it
undone, `after` leaves it done and untold: what has failed and was not stored, what was stored and is reported failed.
"""

import json
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy.exc import OperationalError

STEPS = {
    "commit": "sqlalchemy.orm.session:Session.commit",
    "sign": "federation.envelope:sign",
    "append": "node.stream.service:append_record",
    "position": "node.db:next_number",
    "keep": "node.stream.service:keep",
    "lease": "node.stream.leases:take_lease",
    "send": "federation.client:PeerClient.fetch_page",
    "answer-read": "federation.request:open_answer",
    "settle": "node.exchange.delivery:_settle",
    "receive": "node.exchange.inbox:receive",
    "judge": "node.exchange.inbox:_judge",
    "receipt": "node.exchange.receipts:issue_receipt",
    "nonce": "node.exchange.nonces:use_nonce",
    "page": "node.exchange.serving:read_page",
    "answer": "federation.request:build_answer",
    "leaf": "node.stream.log:append_leaf",
    "heads": "node.exchange.heads:state_heads",
    "statement": "node.exchange.heads:take_statement",
    "cosign": "node.exchange.cosigning:cosign",
    "pack": "node.exchange.parcels:pack",
    "mailbox": "node.exchange.mailbox:put",
    "unpack": "node.exchange.unpacking:take_parcel",
    "file": "node.cli.files:new_file",
}
Wrapper = Callable[[Callable[[], Any]], Any]
BEFORE, AFTER = "before", "after"
KILL, FAIL = "kill", "fail"


@dataclass(frozen=True)
class Stop:
    """Stop at the `call`-th call of a step, before or after it: by SIGKILL, or by a database that fails."""

    step: str
    call: int = 1
    when: str = BEFORE
    how: str = KILL


def count_steps(file: Path) -> None:
    """Count the calls of every step from now on; the file holds the counts as of the last call."""
    counts: Counter[str] = Counter()
    lock = threading.Lock()

    def counting(name: str) -> Wrapper:
        def around(call: Callable[[], Any]) -> Any:
            with lock:
                counts[name] += 1
                file.write_text(json.dumps(counts))
            return call()

        return around

    for name in STEPS:
        _wrap(name, counting(name))


def stop_at(stop: Stop, told: Path) -> None:
    """Stop this process as `stop` says; the file says that it was."""
    calls = 0
    lock = threading.Lock()

    def around(call: Callable[[], Any]) -> Any:
        nonlocal calls
        with lock:
            calls += 1
            now = calls == stop.call
        if now and stop.when == BEFORE:
            _stop(stop, told)
        result = call()
        if now and stop.when == AFTER:
            _stop(stop, told)
        return result

    _wrap(stop.step, around)


def _stop(stop: Stop, told: Path) -> None:
    told.touch()
    if stop.how == FAIL:
        raise OperationalError("COMMIT", {}, RuntimeError("database or disk is full"))
    os.kill(os.getpid(), signal.SIGKILL)


def _wrap(name: str, around: Wrapper) -> None:
    module, _, path = STEPS[name].partition(":")
    owner: Any = import_module(module)
    *outer, attribute = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    original = getattr(owner, attribute)

    @wraps(original)
    def wrapped(*values: Any, **named: Any) -> Any:
        return around(lambda: original(*values, **named))

    setattr(owner, attribute, wrapped)
    for imported in list(sys.modules.values()):
        if imported.__name__.partition(".")[0] in {"node", "federation"}:
            for alias, value in list(vars(imported).items()):
                if value is original:
                    setattr(imported, alias, wrapped)

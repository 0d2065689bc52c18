"""Who did what, written in the transaction that did it, chained by hashes, in the closed words of `events`."""

import json
import re
from datetime import datetime
from typing import Any

from sqlmodel import Session

from node.audit.chain import ask_for_chaining
from node.audit.events import EVENTS
from node.audit.models import AuditEntry

_CODE = re.compile(r"[\w.:/+#=-]{0,128}", re.ASCII)
_SUBJECT = re.compile(r"[\w.:/+#=*{}-]{0,160}", re.ASCII)  # an id, a code or a route


def is_subject(text: str) -> bool:
    """Tell whether a text is an id, a code or a route, and so may stand in the trail as whom an event is about."""
    return _SUBJECT.fullmatch(text) is not None


def write_audit(
    session: Session,
    *,
    account_id: str,
    action: str,
    subject: str = "",
    at: datetime,
    **detail: Any,
) -> None:
    """Add one entry to the running transaction; raise ValueError for an event that `EVENTS` does not know.

    `subject` is an id, a code or a route, `detail` holds the `result` ("ok" where it is not given), counts and codes;
    never personal values: a text that is none of these raises ValueError.
    """
    if action not in EVENTS:
        raise ValueError(f"{action} is not an event of the audit trail")
    if not is_subject(subject):
        raise ValueError(f"{action}: subject is no code")
    for name, value in detail.items():
        if isinstance(value, str) and not _CODE.fullmatch(value):
            raise ValueError(f"{action}: {name} is no code")
    result = str(detail.pop("result", "ok"))
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True)
    session.add(AuditEntry(at=at, account_id=account_id, action=action, subject=subject, result=result, detail=text))
    ask_for_chaining(session)

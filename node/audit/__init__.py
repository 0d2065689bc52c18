"""Who did what, written in the transaction that did it."""

import json
from datetime import datetime
from typing import Any

from sqlmodel import Session

from node.audit.models import AuditEntry


def write_audit(
    session: Session, *, account_id: str, action: str, subject: str = "", at: datetime, **detail: Any
) -> None:
    """Add one entry to the running transaction. `detail` holds counts and codes, never personal values."""
    text = json.dumps(detail, ensure_ascii=False, sort_keys=True)
    session.add(AuditEntry(at=at, account_id=account_id, action=action, subject=subject, detail=text))

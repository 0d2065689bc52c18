"""Old checkpoints and cosignatures: which are kept, so that evidence stays and the table does not grow for ever.

A record is proven by the earliest checkpoint of ours that covers it and that all required witnesses cosigned, and a
revocation may name a time long past. So what was witnessed is thinned by its age, never dropped whole:

    35 days     everything (a stick every 30 days still finds what it was asked about)
    400 days    the last of each day
    older       the last of each 30 days

A checkpoint that its witnesses left alone is of no use once a later one was cosigned and it is older than that. Of what
we cosigned for others, and carry for them, the last for each log is enough.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlmodel import Session, col, select

from node.stream.models import Cosigned, OwnCheckpoint

WHOLE = timedelta(days=35)
DAILY = timedelta(days=400)
_DAY, _MONTH = timedelta(days=1), timedelta(days=30)
_EPOCH = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def choose_kept(times: Iterable[datetime], now: datetime) -> set[datetime]:
    """Return which of these times of witnessed checkpoints are kept; thinned often or seldom, they are the same.

    So a day or a month is thinned when the whole of it is old enough.
    """
    kept: dict[tuple[timedelta, int], datetime] = {}
    found = set()
    for at in sorted(times):
        if now - _end_of(_DAY, at) <= WHOLE:
            found.add(at)
            continue
        step = _DAY if now - _end_of(_MONTH, at) <= DAILY else _MONTH
        kept[step, (at - _EPOCH) // step] = at  # the last of each
    return found | set(kept.values())


def _end_of(step: timedelta, at: datetime) -> datetime:
    return _EPOCH + ((at - _EPOCH) // step + 1) * step


def thin_out(session: Session, node_id: str, federation_id: str, now: datetime) -> int:
    """Drop what no proof needs any more; return how many checkpoints of our own."""
    rows = session.exec(
        select(OwnCheckpoint.id, OwnCheckpoint.issued_at)
        .where(OwnCheckpoint.federation == federation_id, col(OwnCheckpoint.issued_at) < now - WHOLE)
        .order_by(col(OwnCheckpoint.issued_at))
    ).all()
    own = select(Cosigned.checkpoint).where(Cosigned.origin == node_id, Cosigned.federation == federation_id)
    signed = set(session.exec(own.distinct()).all())
    kept = choose_kept((at for identity, at in rows if identity in signed), now)
    gone = [identity for identity, at in rows if identity not in signed or at not in kept]
    for start in range(0, len(gone), 500):
        some = gone[start : start + 500]
        session.execute(delete(Cosigned).where(col(Cosigned.origin) == node_id, col(Cosigned.checkpoint).in_(some)))
        session.execute(delete(OwnCheckpoint).where(col(OwnCheckpoint.id).in_(some)))
    _drop_superseded(session, node_id, federation_id)
    session.flush()
    return len(gone)


def _drop_superseded(session: Session, node_id: str, federation_id: str) -> None:
    """Of cosignatures on others' logs keep the last of each witness, and what still has to be sent."""
    rows = session.exec(
        select(Cosigned.id, Cosigned.origin, Cosigned.witness, Cosigned.to_send)
        .where(Cosigned.federation == federation_id, Cosigned.origin != node_id)
        .order_by(col(Cosigned.cosigned_at), col(Cosigned.id))
    ).all()
    last = {(origin, witness): identity for identity, origin, witness, _ in rows}
    gone = [
        identity for identity, origin, witness, to_send in rows if not to_send and last[origin, witness] != identity
    ]
    for start in range(0, len(gone), 500):
        session.execute(delete(Cosigned).where(col(Cosigned.id).in_(gone[start : start + 500])))

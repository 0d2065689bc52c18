"""The scheduler: what runs by itself, under a lease, when the database says it is due.

Every process ticks often and asks the database; whoever gets the lease of a due job runs it and writes when it is due
again, a little later by chance so that nodes do not all call at once. So two processes on one database never do one
job twice, and a restart keeps the rhythm. A job that fails is logged by the kind of its error and its place in our
code, never by the error's words: they may hold a person's data.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from secrets import SystemRandom

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from federation.errors import GonghuiError
from node.audit.tally import write_counts
from node.clock import now
from node.context import Node
from node.exchange import mailbox
from node.exchange.inbox import Handlers, take_known
from node.exchange.refreshing import refresh_list
from node.exchange.routes import RELAYED
from node.exchange.status import SYNC_JOB
from node.exchange.sync import exit_code_of, poll_mailbox, run_round
from node.http.problems import place_of
from node.stream.leases import HeldLease, take_lease
from node.stream.parents import list_places

TICK_SECONDS = 5.0
LIST_JOB = "job:list"
LIST_SECONDS = 3600.0
POLL_SECONDS, EXPIRY_SECONDS, FOLLOW_SECONDS = 5.0, 86_400.0, 30.0
_LOG = logging.getLogger(__name__)
_RANDOM = SystemRandom()


class _Tick(IntervalTrigger):  # type: ignore[misc]  # the library has no types
    """A tick that makes up for none it missed: else a clock that jumps by months is counted after, second by second."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> datetime:
        following: datetime = super().get_next_fire_time(previous_fire_time, now)
        return following if following > now or previous_fire_time is None else now + self.interval


@dataclass(frozen=True)
class Job:
    """Something that runs by itself. `run` returns "" or the stable code of what went wrong; it may also raise."""

    name: str
    run: Callable[[Node], str]
    interval_seconds: float
    jitter_seconds: float = 0.0


def start_jobs(node: Node, handlers: Handlers, extra: Iterable[Job] = ()) -> BackgroundScheduler:
    """Start the scheduler of this process; end it with `.shutdown()`. `extra` are jobs of other parts.

    First of all, what an older program could not judge is judged anew.
    """
    take_known(node, handlers)
    scheduler = BackgroundScheduler(timezone=UTC)
    for job in (*default_jobs(node, handlers), *extra):
        _schedule(scheduler, job.name, partial(run_if_due, node, job), job.interval_seconds)
    follow_federations(scheduler, node, handlers)
    _schedule(scheduler, "federations", partial(_follow, scheduler, node, handlers), FOLLOW_SECONDS, at_once=False)
    scheduler.start()
    return scheduler


def _schedule(
    scheduler: BackgroundScheduler, name: str, tick: Callable[[], object], seconds: float, *, at_once: bool = True
) -> None:
    trigger = _Tick(seconds=min(TICK_SECONDS, seconds) if at_once else seconds, timezone=UTC)
    scheduler.add_job(
        tick,
        trigger,
        id=name,
        name=name,
        next_run_time=now() if at_once else now() + timedelta(seconds=seconds),  # by the scheduler's own clock
        max_instances=1,
        coalesce=True,
        misfire_grace_time=None,
    )


def _follow(scheduler: BackgroundScheduler, node: Node, handlers: Handlers) -> None:
    try:
        follow_federations(scheduler, node, handlers)
    except GonghuiError as failure:  # the database is busy: the next tick is in time
        _LOG.warning("federations not looked at: %s", failure.code)


def follow_federations(scheduler: BackgroundScheduler, node: Node, handlers: Handlers) -> None:
    """Let the exchange run for each further federation apart, also for one that was joined since."""
    with node.database.read() as session:
        further = list_places(session, node)[1:]
    for place in further:
        for job in exchange_jobs(place, handlers):
            name = f"{job.name}:{place.federation}"
            if scheduler.get_job(name) is None:
                run = partial(_run_for_further, place.federation, job.run)
                its_job = replace(job, name=name, run=run)
                _schedule(scheduler, name, partial(run_if_due, node, its_job), job.interval_seconds)


def default_jobs(node: Node, handlers: Handlers) -> list[Job]:
    """Return what every node does by itself; of the exchange, what it does in the federation joined first."""
    jobs = [replace(job, run=partial(_run_for_first, job.run)) for job in exchange_jobs(node, handlers)]
    if node.settings.hub.enabled:
        jobs.append(Job("job:mailbox-expiry", _expire, EXPIRY_SECONDS))
    return jobs


def exchange_jobs(node: Node, handlers: Handlers) -> list[Job]:
    """Return what runs by itself in one federation."""
    settings = node.settings.sync
    jobs = [
        Job(SYNC_JOB, partial(_synchronise, handlers), settings.interval_seconds, settings.jitter_seconds),
        Job(LIST_JOB, partial(_refresh_list, handlers), LIST_SECONDS, settings.jitter_seconds),
    ]
    if node.settings.exchange.transport == RELAYED:
        jobs.append(Job("job:mailbox", partial(_poll, handlers), POLL_SECONDS))
    return jobs


def _run_for_first(run: Callable[[Node], str], node: Node) -> str:
    with node.database.read() as session:
        place = list_places(session, node)[0]
    return run(place)


def _run_for_further(federation_id: str, run: Callable[[Node], str], node: Node) -> str:
    with node.database.read() as session:
        further = {place.federation for place in list_places(session, node)[1:]}
    return run(node.within(federation_id)) if federation_id in further else ""  # it was left, or is the first now


def run_if_due(node: Node, job: Job) -> bool:
    """Run the job where it is due and nobody else is at it; tell whether it was run. Raises nothing of the job's."""
    lease = take_lease(
        node.database, node.clock, job.name, seconds=node.settings.sync.lease_seconds, only_when_due=True
    )
    if lease is None:
        return False
    error = "internal"
    started_at = node.clock()
    try:
        with _kept(lease):
            error = job.run(node)
    except GonghuiError as failure:
        error = failure.code
        _LOG.warning("job %s failed: %s", job.name, failure.code)
    except Exception as failure:  # noqa: BLE001  the job loop: the next tick must come
        _LOG.error("job %s failed: %s at %s", job.name, type(failure).__name__, place_of(failure))
    finally:
        wait = job.interval_seconds + _RANDOM.uniform(0, job.jitter_seconds)
        lease.release(due_at=started_at + timedelta(seconds=wait), error=error)
    return True


def _refresh_list(handlers: Handlers, node: Node) -> str:
    """Keep the member list fresh, also between rounds that are far apart; the hub signs its own anew daily."""
    return refresh_list(node, handlers)


def _synchronise(handlers: Handlers, node: Node) -> str:
    write_counts(node.database, node.clock())
    results = run_round(node, handlers)
    for result in results:
        if result.code:
            _LOG.info("sync with %s: %s %s", result.peer_id, result.state, result.code)
    failed = [result.code for result in results if result.exit_code]
    return failed[0] if exit_code_of(results) else ""


def _poll(handlers: Handlers, node: Node) -> str:
    return poll_mailbox(node, handlers)


def _expire(node: Node) -> str:
    with node.database.write() as session:
        expired = mailbox.expire(session, node.clock())
    if expired:
        _LOG.warning("%s parcels of the mailbox were not fetched for three months; their senders are told", expired)
    return ""


@contextmanager
def _kept(lease: HeldLease) -> Iterator[None]:
    """Renew the lease while the block runs, however long it takes."""
    done = threading.Event()

    def renew() -> None:
        while not done.wait(lease.seconds / 3):
            try:
                if not lease.renew():
                    return
            except GonghuiError as error:  # the database is busy: the next turn is in time
                _LOG.warning("lease %s not renewed: %s", lease.name, error.code)

    thread = threading.Thread(target=renew, name=f"lease {lease.name}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()

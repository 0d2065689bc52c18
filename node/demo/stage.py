"""Who does what when: hub and colleges are founded, rosters come in, releases go out, all synchronise.

Each act is a method and may be taken alone; colleges work side by side, a few at a time. What a college's people are
told about their roster is kept for the report; what stops a college stops the demo, but for a file nobody can read.
"""

import os
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import date
from typing import Any, TypeVar

from node.demo.crew import Crew
from node.demo.events import EVENTS
from node.demo.office import ANALYST, APPROVER, DIRECT, OFFICER, RELAY, STICK, Office, found
from node.demo.officers import Officers
from node.demo.rosters import CollegePlan, is_open, union_year
from node.demo.served import ServedOffice
from node.demo.show import Show
from node.demo.sticks import StickOffice
from node.demo.words import DemoFailed, Words

HUB_NAME = "省教育工会（演示）"
SECOND_NAME = "省总工会统计中心（演示）"
FAMILY = "staff"  # of indicators, of which exact totals are made
FEDERATION_NAME = "全省院校工会联合体（演示）"
_WORKERS = (os.cpu_count() or 2) + 2  # a college waits for its processes as often as it works
_NOT_TO_BE_SUMMED = {"family-not-released", "nothing-openable"}  # what the rosters do not say
_TURNS = 20  # a total needs about ten; more means that it stands still
_EXCHANGED = "exchanged"  # both partial sums are there: contributors verify
_BLOCK = 6  # contributors that a total needs at least
_CALLED = 2  # colleges that the hub calls, because they have an address; the others call the hub
_INPUT_REFUSED = 3
_RETURNED = Words("请说明与上次相比的变化。", "Please explain the change against last time.")
_CORRECTED = Words("更正若干人的职称。", "Some titles were wrong.")

T = TypeVar("T")


class Stage:
    """One demo between its first process and its last."""

    hub: ServedOffice
    second: ServedOffice | None = None  # the other aggregator of exact totals, in other hands than the hub
    officers: Officers

    def __init__(self, crew: Crew, show: Show, plans: Sequence[CollegePlan], *, today: date, interval: int) -> None:
        self.crew = crew
        self.show = show
        self.plans = list(plans)
        self.colleges: list[Office] = []
        self.today = today
        self._options = ("--sync-interval", str(interval))
        self._ports = free_ports(len(self.plans) + 2)

    @property
    def periods(self) -> list[str]:
        """Return the union years of all rosters, in order."""
        return sorted({union_year(roster.as_of) for plan in self.plans for roster in plan.rosters})

    def found(self) -> None:
        """Found the hub and the federation, then all colleges; each asks to join, two officers sign, all enter."""
        self.show.begin(Words("汇总节点和联合体", "the hub and its federation"), 1)
        port = self._ports[0]
        node = found(
            self.crew, self.crew.folder / "hub", HUB_NAME, "--hub", "--federation-name", FEDERATION_NAME,
            "--port", str(port), "--public-url", f"http://127.0.0.1:{port}", *self._options,
        )  # fmt: skip
        self.hub = ServedOffice(self.crew, node, port)
        self.hub.open_account("fenxi", ANALYST)
        self.officers = Officers(self.crew, self.hub)
        self.officers.create_federation()
        self.show.advance(HUB_NAME)
        self.colleges = self._each(
            Words("各院校建立节点并申请加入", "colleges found their nodes and ask to join"),
            list(enumerate(self.plans)),
            lambda item: self._found_college(*item),
        )
        members = [*self.colleges]
        if len(self.plans) >= _BLOCK:
            self.second = self._found_second()
            members.append(self.second)
        self.show.begin(Words("管理员核对并签署", "officers compare and sign"), 1)
        self.officers.approve([office.node.node_id for office in members])
        if self.second:
            self.officers.appoint(self.second.node.node_id)
        self.show.advance(HUB_NAME)
        self._each(Words("各院校进入联合体", "colleges enter the federation"), members, self._enter)

    def _found_second(self) -> ServedOffice:
        port = self._ports[-1]
        node = found(self.crew, self.crew.folder / "second", SECOND_NAME, "--port", str(port), *self._options)
        office = ServedOffice(self.crew, node, port)
        office.ask_to_join(self.officers.anchor)
        return office

    def _enter(self, office: Office) -> None:
        state = office.enter()
        if state != "active":
            raise DemoFailed("not-listed", f"{office.node.name}：{state}", f"{office.node.name}: {state}")
        self.show.advance(office.node.name)

    def _found_college(self, index: int, plan: CollegePlan) -> Office:
        folder, port = self.crew.folder / f"college-{index + 1:02d}", self._ports[index + 1]
        address = ("--public-url", f"http://127.0.0.1:{port}") if index < _CALLED and not plan.quiet else ()
        transport = STICK if plan.quiet else RELAY if index == _CALLED else DIRECT
        node = found(
            self.crew, folder, plan.name, "--port", str(port), *address,
            "--set", f"exchange.transport={transport}", *self._options,
        )  # fmt: skip
        office: Office = (
            StickOffice(self.crew, node, self.hub.node, plan)
            if plan.quiet
            else ServedOffice(self.crew, node, port, plan)
        )
        office.transport = transport
        office.open_account("zhang", OFFICER)
        office.open_account("li", APPROVER)
        office.ask_to_join(self.officers.anchor)
        self.show.advance(plan.name)
        return office

    def release(self) -> None:
        """Let every college import its rosters, one after the other, and release after each its union year."""
        self._each(
            Words("导入名册、编制并审批发布", "rosters in, releases prepared and approved"),
            self.colleges,
            self._release,
        )

    def _release(self, office: Office) -> None:
        for roster in office.plan.rosters if office.plan else ():
            try:
                office.told.add_import(office.take_roster(roster))
            except DemoFailed as error:
                if error.exit_code != _INPUT_REFUSED:
                    raise
                office.told.unread.append({"file": roster.file.name, **error.words._asdict()})
                self.show.say(Words(f"{roster.file.name}：{error.words.zh}", f"{roster.file.name}: {error.words.en}"))
                continue
            period = union_year(roster.as_of)
            release = office.prepare(period, provisional=is_open(period, self.today))
            office.approve(release)
            office.told.released += len(release["dataflows"])
        self.show.advance(office.node.name)

    def notify(self) -> None:
        """Let some colleges offer events; one of them is called off."""
        for office, event in zip(self.colleges, EVENTS, strict=False):
            notice = office.publish_notice(event.values(self.today))
            if event.cancelled:
                office.cancel_notice(notice, event.cancelled)

    def exchange(self) -> None:
        """Let all push what they have; then everybody, the hub first, fetches what the others said."""
        self._each(Words("推送到汇总节点", "push to the hub"), self.colleges, self._sync)
        self._sync(self.hub)

    def review(self, period: str) -> None:
        """Let the hub's analyst accept the releases of a period, and return one for correction."""
        found = [record for record in self.hub.list_records("release") if record["subject"].endswith(f"/{period}")]
        for number, record in enumerate(found):
            verdict, note = ("accepted", "") if number else ("returned", _RETURNED.both())
            self.hub.review(record["id"], verdict, note)

    @property
    def summed(self) -> str:
        """Return the latest union year that no correction waits for: what is summed stands still."""
        corrected = {union_year(plan.correction.as_of) for plan in self.plans if plan.correction}
        still = [period for period in self.periods if period not in corrected and not is_open(period, self.today)]
        return still[-1] if still else ""

    def total(self) -> None:
        """Let hub and second body make the exact totals of a year, in which all colleges take part."""
        if self.second is None or not self.summed:
            return
        self.agree(self.second)
        try:
            self.hub.begin_total(FAMILY, self.summed)
        except DemoFailed as error:
            if error.code not in _NOT_TO_BE_SUMMED:
                raise
            self.show.say(error.words)
            return
        self.carry_total(self.second, self.summed)

    def agree(self, second: ServedOffice) -> None:
        """Let all colleges consent, and the second body vouch for them."""
        self._each(Words("各院校同意参加精确合计", "colleges consent to exact totals"), self.colleges, self._consent)
        second.sync()
        second.vouch(FAMILY, [office.node.node_id for office in self.colleges])
        second.sync()

    def carry_total(self, second: ServedOffice, period: str) -> None:
        """Synchronise whoever has a turn until a total is over; raise DemoFailed where it stands still."""
        for _ in range(_TURNS):
            second.sync()
            self.hub.sync()
            found = self.hub.total(FAMILY, period)
            if found["destroyed"]:
                return
            if found["awaited"] or found["state"] == _EXCHANGED:
                self.contribute()
        raise DemoFailed("total-unfinished", f"精确合计停在 {found['state']}", f"The total stands at {found['state']}")

    def contribute(self) -> None:
        """Let all colleges synchronise, which is when each says what is its turn."""
        act = Words("各院校送出份额，核对合计", "colleges send their shares, and verify the sum")
        self._each(act, self.colleges, self._sync)

    def _consent(self, office: Office) -> None:
        office.contribute(FAMILY)
        self._sync(office)

    def fetch(self) -> None:
        """Let all fetch what the others released, and the reviews."""
        self._each(
            Words("各院校取回他人的发布和审核意见", "fetch the others' releases and reviews"), self.colleges, self._sync
        )

    def correct(self) -> None:
        """Prepare corrections, for somebody to look at and approve."""
        for office in self.colleges:
            if office.plan is not None and office.plan.correction is not None:
                office.take_roster(office.plan.correction)
                office.prepare(union_year(office.plan.correction.as_of), reason=_CORRECTED.both())

    def invite(self) -> ServedOffice:
        """Choose passwords for those who will sign in: the analyst, and the people of the college that is returned."""
        served = [office for office in self.colleges if isinstance(office, ServedOffice)]
        college = next((office for office in served if office.plan and office.plan.correction), served[0])
        for office, role in ((self.hub, ANALYST), (college, OFFICER), (college, APPROVER)):
            office.set_password(role)
        return college

    def _sync(self, office: Office) -> list[dict[str, Any]]:
        results = office.sync()
        if office is not self.hub:
            self.show.advance(office.node.name)
        return results

    def _each(self, act: Words, items: Sequence[Any], work: Callable[[Any], T]) -> list[T]:
        """Do the same for all, a few at a time, in the order of `items`; the first failure ends it."""
        self.show.begin(act, len(items))
        threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="demo")
        try:
            futures = [threads.submit(work, item) for item in items]
            for future in as_completed(futures):
                future.result()
            return [future.result() for future in futures]
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that are free now; all are held until the last is found."""
    held = []
    try:
        for _ in range(count):
            holder = socket.socket()
            held.append(holder)
            holder.bind(("127.0.0.1", 0))
        return [holder.getsockname()[1] for holder in held]
    finally:
        for holder in held:
            holder.close()

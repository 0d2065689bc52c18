"""Events that some colleges of the demo offer: all in the coming weeks, one of them called off."""

from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True)
class Event:
    """An event `days` from today, from `starts` to `ends` o'clock; `cancelled`: why it is called off."""

    days: int
    starts: str
    ends: str
    title: str
    kind: str
    place: str
    who: str
    seats: int
    cancelled: str = ""

    def values(self, today: date) -> dict[str, str]:
        """Return the event as a form takes it."""
        day = (today + timedelta(days=self.days)).isoformat()
        return {
            "title": self.title,
            "kind": self.kind,
            "place": self.place,
            "starts": f"{day}T{self.starts}",
            "ends": f"{day}T{self.ends}",
            "who": self.who,
            "seats": str(self.seats),
            "contact": "校工会办公室",
        }


EVENTS = (
    Event(
        9, "14:00", "17:00", "教职工羽毛球邀请赛（演示）", "sports", "体育馆", "各成员单位会员，每单位不超过 6 人", 72
    ),
    Event(16, "09:30", "11:30", "女教职工健康讲座（演示）", "lecture", "图书馆报告厅", "联合体全体女会员", 200),
    Event(
        23,
        "19:00",
        "21:00",
        "青年教职工联谊活动（演示）",
        "social",
        "活动中心",
        "35 岁以下会员",
        60,
        "场地检修，改期另行通知。",
    ),
)

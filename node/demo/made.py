"""Three colleges of 300 to 900 staff that are wholly generated from a fixed seed, large enough to show fine cells.

Nobody in them exists. Between the rosters people join, leave, retire and rise in title, as they do.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

from node.demo.rosters import WHOLLY, Table

DAYS = (date(1992, 9, 30), date(1995, 9, 30), date(1999, 9, 30))
HEADER = ["工号", "姓名", "性别", "出生年月", "部门", "单位类别", "教职工类别", "用人方式", "最高学历", "职称",
          "人员状态", "合同到期日", "是否会员", "入会时间"]  # fmt: skip
_CODES = ["ZGH", "XM", "XB", "CSNY", "SZDWM", "DWLBM", "JZGLBM", "YRFSM", "ZGXL", "ZYJSZW", "DQZT", "HTDQRQ", "SFHY",
          "RHSJ"]  # fmt: skip

_FAMILY = "王李张刘陈杨黄赵周吴徐孙马朱胡郭何高林罗郑梁谢宋唐许韩冯邓曹彭曾萧田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢"
_DOUBLE = ("欧阳", "司马", "上官", "诸葛")
_GIVEN = {
    "男": "伟强军勇杰涛明超刚平辉鹏华飞斌波宇浩凯健俊帆毅林峰志建国文海东清永安成",
    "女": "芳娜敏静丽艳娟霞秀英玲桂兰燕红春梅琳雪慧莹洁颖倩婷玉珍云美华月文清佳",
}
_MINORITY = ("阿依古丽·买买提", "迪力夏提·吐尔逊", "卓玛·次仁", "巴特尔·孟和")  # 少数民族姓名带间隔号


@dataclass(frozen=True)
class _Post:
    """A kind of post: its weight in a college, where it stands, and the titles one rises through."""

    weight: int
    category: str
    unit_type: str
    units: tuple[str, ...]
    titles: tuple[str, ...]


_POSTS = (
    _Post(53, "专任教师", "教学", ("信息工程系/软件教研室", "机电工程系", "经济管理系", "外国语系", "艺术设计系"),
          ("助教", "讲师", "副教授", "教授")),
    _Post(10, "教辅人员", "教辅", ("图书馆", "实训中心"), ("实验员", "助理实验师", "实验师", "高级实验师")),
    _Post(16, "行政人员", "管理", ("党政办公室", "教务处", "学生处", "财务处"), ("", "", "助理研究员", "副研究员")),
    _Post(10, "工勤人员", "后勤", ("后勤服务中心",), ("", "", "", "")),
    _Post(7, "科研人员", "科研", ("职业教育研究所",), ("研究实习员", "助理研究员", "副研究员", "研究员")),
    _Post(4, "其他", "附属", ("附属实验学校",), ("", "助理级", "中级", "副高级")),
)  # fmt: skip


@dataclass(frozen=True)
class _Person:
    number: str
    name: str
    gender: str
    born: date
    post: _Post
    unit: str
    form: str
    education: str
    rank: int
    hired: date
    joined: date | None  # the union; None: never
    contract_end: str = ""
    status: str = "在职"


@dataclass(frozen=True)
class MadeCollege:
    """What is made up for one college: how many persons, which rosters, and how its office exports them."""

    key: str
    name: str
    persons: int
    days: tuple[date, ...]
    suffix: str  # of its files
    codes: bool = False  # headers as its database calls the columns

    @property
    def title(self) -> str:
        """Return the name on all screens, which says that everything is generated."""
        return self.name + WHOLLY


COLLEGES = (
    MadeCollege("wanghu", "望湖职业技术学院", 336, DAYS, ".xlsx"),
    MadeCollege("yunling", "云岭工程学院", 548, DAYS[1:], ".csv", codes=True),
    MadeCollege("haizhou", "海州师范学院", 820, DAYS, ".xlsx"),
)


def make_tables(college: MadeCollege) -> list[tuple[date, Table]]:
    """Return (day, roster) of all days of a college; the same on every machine."""
    dice = random.Random(f"made-{college.key}")  # noqa: S311  a reproducible demo, no secret
    people = [_hire(dice, number, college.days[0], fresh=False) for number in range(1, college.persons + 1)]
    tables = [(college.days[0], _table(college, people, college.days[0]))]
    for before, day in pairwise(college.days):
        people = _pass_years(dice, people, before, day)
        tables.append((day, _table(college, people, day)))
    return tables


def _name(dice: random.Random, gender: str) -> str:
    if dice.random() < 0.01:
        return dice.choice(_MINORITY)
    family = dice.choice(_DOUBLE) if dice.random() < 0.01 else dice.choice(_FAMILY)
    return family + "".join(dice.choices(_GIVEN[gender], k=dice.choice((1, 2, 2))))


def _day_between(dice: random.Random, first: date, last: date) -> date:
    return first + timedelta(days=dice.randrange(max(1, (last - first).days)))


def _hire(dice: random.Random, number: int, day: date, *, fresh: bool, since: date | None = None) -> _Person:
    """Make up somebody who stands in the roster of `day`; `fresh`: who came after `since`."""
    post = dice.choices(_POSTS, [post.weight for post in _POSTS])[0]
    teaches = post.category in {"专任教师", "科研人员"}
    gender = "女" if dice.random() < (0.54 if teaches else 0.42) else "男"
    age = dice.randint(23, 34) if fresh else min(59, max(23, round(dice.triangular(22, 61, 38))))
    born = date(day.year - age, dice.randint(1, 12), dice.randint(1, 28))
    hired = _day_between(dice, since, day) if since else date(max(born.year + 22, 1955), 9, 1)
    education = dice.choices(
        ("博士", "硕士", "本科", "专科", "中专"), (6, 26, 48, 16, 4) if teaches else (0, 8, 40, 38, 14)
    )
    form = dice.choices(("在编", "人事代理", "合同制", "劳务派遣"), (20, 33, 37, 10) if fresh else (68, 12, 14, 6))[0]
    willing = 1.0 if age >= 45 else 0.55 if form == "劳务派遣" or post.unit_type == "附属" else 0.82
    joins = dice.random() < willing
    wait = timedelta(days=30 + dice.randrange(240 if fresh else 900))
    return _Person(
        number=f"{number:05d}",
        name=_name(dice, gender),
        gender=gender,
        born=born,
        post=post,
        unit=dice.choice(post.units),
        form=form,
        education=education[0],
        rank=0 if fresh else min(3, max(0, (age - 24) // 9 - (dice.random() < 0.45))),
        hired=hired,
        joined=min(hired + wait, day) if joins else None,
        contract_end="" if form == "在编" else f"{day.year + dice.randint(1, 4)}.12.31",
        status=dice.choices(("在职", "长病假", "公派出国"), (970, 14, 16))[0],
    )


def _pass_years(dice: random.Random, people: Sequence[_Person], before: date, day: date) -> list[_Person]:
    """Return who stands in the next roster: some left, some retired and still listed, some rose, some came."""
    years = day.year - before.year
    kept = []
    for person in people:
        age = day.year - person.born.year
        if person.status == "退休" or dice.random() < 0.018 * years:
            continue  # not in the file any more
        if age >= (60 if person.gender == "男" else 55):
            kept.append(replace(person, status="退休"))
            continue
        rises = person.rank < 3 and dice.random() < 0.07 * years
        joins = person.joined or (_day_between(dice, before, day) if dice.random() < 0.12 else None)
        end = f"{day.year + dice.randint(1, 4)}.12.31" if person.contract_end else ""
        kept.append(replace(person, rank=person.rank + rises, joined=joins, contract_end=end))
    first = max(int(person.number) for person in people) + 1
    newcomers = round(len(people) * 0.035 * years)
    return kept + [_hire(dice, first + n, day, fresh=True, since=before) for n in range(newcomers)]


def correct_titles(table: Table) -> Table:
    """Return the roster with the titles mended of some who were overlooked: every tenth lecturer is one rank up."""
    title = table.header.index("职称")
    lecturers = [row for row in table.rows if row[title] == "讲师"][::10]
    mended = [[*row[:title], "副教授", *row[title + 1 :]] if row in lecturers else row for row in table.rows]
    return replace(table, rows=mended)


def _table(college: MadeCollege, people: Sequence[_Person], day: date) -> Table:
    rows = [_row(person, day) for person in people]
    if college.codes:
        return Table(_CODES, rows)
    titles = [f"{college.name} 教职工名册（全部为生成数据）", f"截至 {day.year} 年 {day.month} 月 {day.day} 日"]
    return Table(HEADER, rows, titles, [["合计", f"{len(rows)} 人"], ["填表人：", "", "审核人：", ""]])


def _row(person: _Person, day: date) -> list[str]:
    member = person.joined is not None and person.joined <= day and person.status != "退休"
    return [
        person.number,
        person.name,
        person.gender,
        f"{person.born:%Y.%m}",
        person.unit,
        person.post.unit_type,
        person.post.category,
        person.form,
        person.education,
        person.post.titles[person.rank] or "无",
        person.status,
        person.contract_end,
        "是" if member else "否",
        person.joined.isoformat() if member and person.joined else "",
    ]

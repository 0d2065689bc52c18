"""What this node holds about a person, field by field, in words: for the page that staff read, and for its papers.

A closed table: a test holds it to the columns of the models, so that no field is held that nobody is told of.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import union
from sqlmodel import Session, SQLModel, col, func, select

from federation.catalogue import UNKNOWN
from federation.errors import Text
from node.members.models import MemberSpell, PersonFact, PersonLink, StaffSpell

BOOKKEEPING = frozenset({"id", "person_id", "learnt", "unlearnt"})  # which row of whom, and since when it is believed


@dataclass(frozen=True)
class Held:
    """One field: its name, and what it is for."""

    name: Text
    purpose: Text


@dataclass(frozen=True)
class HeldCount:
    """A field, and of how many persons a value is held now."""

    held: Held
    persons: int


_FIGURES = Text("统计指标的分组", "a breakdown of figures")
HELD: Mapping[type[SQLModel], Mapping[str, Held]] = {
    PersonFact: {
        "name": Held(Text("姓名", "name"), Text("核对名册，辨认本人", "to check rosters and tell people apart")),
        "staff_no": Held(Text("工号", "staff number"), Text("辨认本人", "to tell people apart")),
        "gender": Held(Text("性别", "gender"), _FIGURES),
        "birth_date": Held(Text("出生日期", "date of birth"), Text("计算年龄段", "to work out the age band")),
    },
    PersonLink: {
        "kind": Held(Text("标识种类", "kind of identifier"), Text("辨认本人", "to tell people apart")),
        "digest": Held(
            Text("证件号、工号、会员证号的带密钥摘要", "keyed digest of ID, staff and member numbers"),
            Text("辨认本人；号码本身不保存", "to tell people apart; the number itself is not kept"),
        ),
    },
    StaffSpell: {
        "status": Held(Text("人员状态", "employment status"), Text("在职人数", "who is on the job")),
        "title": Held(Text("专业技术职务", "professional title"), _FIGURES),
        "title_level": Held(Text("职称级别", "level of title"), _FIGURES),
        "education": Held(Text("学历", "education"), _FIGURES),
        "staff_category": Held(Text("教职工类别", "category of staff"), _FIGURES),
        "employ_form": Held(Text("用人方式", "form of employment"), _FIGURES),
        "unit_type": Held(Text("单位类型", "type of unit"), _FIGURES),
        "department": Held(Text("部门", "department"), Text("本校内的统计", "figures within this school")),
        "contract_end": Held(Text("合同到期日", "end of contract"), Text("合同签订率", "the rate of contracts")),
        "valid_from": Held(Text("任职信息起始日", "since when"), Text("按日期统计", "figures by date")),
        "valid_to": Held(Text("任职信息终止日", "until when"), Text("按日期统计", "figures by date")),
    },
    MemberSpell: {
        "valid_from": Held(Text("入会日期", "member since"), Text("会员人数", "the number of members")),
        "valid_to": Held(Text("离会日期", "member until"), Text("会员人数", "the number of members")),
        "leave_reason": Held(Text("离会原因", "reason for leaving"), _FIGURES),
    },
}


def list_held() -> list[Held]:
    """Return every field, in the order of the tables."""
    return [held for fields in HELD.values() for held in fields.values()]


def count_held(session: Session) -> list[HeldCount]:
    """Return for each field of how many persons this node holds a value now, blanks and "unknown" left out."""
    return [
        HeldCount(held, _count(session, model, name)) for model, fields in HELD.items() for name, held in fields.items()
    ]


def count_persons(session: Session) -> int:
    """Return of how many persons this node holds anything now."""
    held = [select(_column(model, "person_id")).where(_column(model, "unlearnt").is_(None)) for model in HELD]
    return session.exec(select(func.count()).select_from(union(*held).subquery())).one()


def _count(session: Session, model: type[SQLModel], name: str) -> int:
    column: Any = _column(model, name)
    told = column.is_not(None)
    if column.type.python_type is str:
        told &= column.not_in(("", UNKNOWN))
    persons = func.count(func.distinct(_column(model, "person_id")))
    return session.exec(select(persons).where(_column(model, "unlearnt").is_(None), told)).one()


def _column(model: type[SQLModel], name: str) -> Any:
    return col(getattr(model, name))

"""Import of 20,000 rows: validation and preview against reading the file, confirming against bare core inserts."""

import csv
import io
import os
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import xlsxwriter
from python_calamine import CalamineWorkbook
from sqlalchemy import insert

from bench.telling import tell
from federation.keys import new_private_pem, read_signer
from node import tables  # noqa: F401  every table must be known before tables are created
from node.access.permissions import OFFICER, Actor
from node.config import Settings
from node.context import Node
from node.db import Database
from node.members import roster
from node.members.known import FACT_FIELDS, STAFF_FIELDS
from node.members.models import MemberSpell, Person, PersonFact, PersonLink, StaffSpell
from node.members.plan import Plan

ROWS = 20_000
ACTOR = Actor("bench", "bench", OFFICER)
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
HEADER = [
    "工号",
    "姓名",
    "性别",
    "出生年月",
    "身份证号",
    "职称",
    "学历",
    "教职工类别",
    "用人方式",
    "部门",
    "人员状态",
    "入会时间",
]


def make_rows(count: int) -> list[list[str]]:
    """Return a header and `count` rows as an HR system would export them."""
    rows = [HEADER]
    for n in range(count):
        body = f"330106{1960 + n % 45}{1 + n % 12:02d}{1 + n % 28:02d}{n % 500 * 2 + n % 2:03d}"
        check = "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]
        rows.append(
            [
                f"{n:06d}",
                "王" + chr(0x4E00 + n % 5000) + chr(0x4E00 + n // 7),
                "男" if n % 2 else "女",
                f"{1960 + n % 45}.{1 + n % 12:02d}",
                body + check,
                ("教授(三级)", "副教授", "讲师", "助教", "")[n % 5],
                ("博士研究生", "硕士", "本科")[n % 3],
                ("专任教师", "行政人员")[n % 2],
                ("在编", "人事代理", "合同制")[n % 3],
                f"学院{n % 30}/教研室{n % 7}",
                "在职",
                f"20{n % 20:02d}-03-01",
            ]
        )
    return rows


def _seconds(work: Callable[[], Any], times: int = 3) -> float:
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _make_node(folder: Path) -> Node:
    database = Database(f"sqlite:///{folder}/gonghui.db")
    database.create_tables()
    return Node(
        folder,
        Settings(),
        database,
        "n-bench",
        read_signer(new_private_pem()),
        os.urandom(32),
        lambda: datetime(2026, 10, 1, tzinfo=UTC),
    )


def _stage(node: Node, name: str, data: bytes) -> str:
    return roster.stage(node, ACTOR, file_name=name, data=data, as_of=date(2026, 9, 30), complete=True)


def _bare_rows(plan: Plan) -> list[tuple[Any, list[dict[str, Any]]]]:
    spell = ("person_id", "valid_from", "valid_to")
    shapes: list[tuple[Any, tuple[str, ...], list[tuple[Any, ...]]]] = [
        (Person, ("id",), [(person,) for person in plan.persons]),
        (PersonLink, ("person_id", "kind", "digest"), list(plan.links)),
        (PersonFact, ("person_id", *FACT_FIELDS), plan.facts),
        (StaffSpell, (*spell, *STAFF_FIELDS), plan.staff),
        (MemberSpell, (*spell, "leave_reason"), plan.members),
    ]
    return [
        (model, [dict(zip(names, row, strict=True)) | ({} if model is Person else {"learnt": 1}) for row in rows])
        for model, names, rows in shapes
    ]


def _confirm(shown: roster.Preview, node: Node) -> float:
    start = time.perf_counter()
    roster.confirm(node, ACTOR, shown)
    return time.perf_counter() - start


def _bare(plan: Plan, folder: Path) -> float:
    node = _make_node(folder)
    rows = _bare_rows(plan)
    start = time.perf_counter()
    with node.database.write() as session:
        for model, values in rows:
            session.connection().execute(insert(model), values)
    taken = time.perf_counter() - start
    node.database.close()
    return taken


def run(count: int = ROWS) -> dict[str, float]:
    """Return the ratios and the seconds they come from."""
    rows = make_rows(count)
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    csv_data = text.getvalue().encode("utf-8-sig")
    file = io.BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    xlsx_data = file.getvalue()
    result: dict[str, float] = {"rows": count}
    result["csv_read_seconds"] = _seconds(
        lambda: list(csv.reader(io.StringIO(csv_data.decode("utf-8-sig"), newline="")))
    )
    result["xlsx_read_seconds"] = _seconds(
        lambda: CalamineWorkbook.from_filelike(io.BytesIO(xlsx_data)).get_sheet_by_index(0).to_python()
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        node = _make_node(folder)
        for kind, data in (("csv", csv_data), ("xlsx", xlsx_data)):
            import_id = _stage(node, f"roster.{kind}", data)
            result[f"{kind}_preview_seconds"] = _seconds(lambda: roster.preview(node, ACTOR, import_id))  # noqa: B023
        shown = roster.preview(node, ACTOR, import_id)
        confirmed, bare = [_confirm(shown, node)], []
        for turn in range(3):
            at = folder / str(turn)
            at.mkdir()
            bare.append(_bare(shown.plan, at))
            again = _make_node(_made(folder / f"again{turn}"))
            confirmed.append(_confirm(roster.preview(again, ACTOR, _stage(again, "r.csv", csv_data)), again))
            again.database.close()
        result["confirm_seconds"], result["bare_insert_seconds"] = min(confirmed), min(bare)
        repeated = _stage(node, "roster.csv", csv_data)
        result["csv_preview_of_known_seconds"] = _seconds(lambda: roster.preview(node, ACTOR, repeated), 2)
        node.database.close()
    result["csv_ratio"] = result["csv_preview_seconds"] / result["csv_read_seconds"]
    result["xlsx_ratio"] = result["xlsx_preview_seconds"] / result["xlsx_read_seconds"]
    result["confirm_ratio"] = result["confirm_seconds"] / result["bare_insert_seconds"]
    return {name: round(value, 4) for name, value in result.items()}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


LIMITS = {"csv_ratio": 15.0, "xlsx_ratio": 5.0, "confirm_ratio": 2.0}


def main() -> None:
    """Print the ratios; end with 1 where one is above its limit."""
    tell(run, LIMITS, __doc__, rows=ROWS)


if __name__ == "__main__":
    main()

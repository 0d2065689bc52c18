"""From a file to the province's screen, by pages alone: join, import, prepare, approve, synchronise, review, correct.

Two real processes, real HTTP between them, real Chromium before both. What the hub shows is compared with a count of
the file's own rows.
"""

import random
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest
import xlsxwriter
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import PHONE, Site, check_width, close_site, found_site, snap
from tests.cli.conftest import Gonghui, Served, gonghui  # noqa: F401  a fixture

pytestmark = pytest.mark.browser
HEADER = ("工号", "姓名", "性别", "出生日期", "专业技术职务", "用人方式", "入会时间")
Rows = list[tuple[str, ...]]


def make_rows(count: int) -> Rows:
    dice = random.Random(7)  # noqa: S311  a test's dice
    rows: Rows = []
    for number in range(count):
        title = dice.choices(["教授", "副教授", "讲师", "助教"], [2, 5, 9, 4])[0]
        form = dice.choices(["在编", "人事代理", "合同"], [7, 3, 2])[0]
        since = dice.choices(["2010-05-01", ""], [9, 1])[0]
        born = f"{dice.randint(1964, 1998)}-03-0{dice.randint(1, 9)}"
        rows.append((f"{number:05}", f"教工{number}", dice.choice("男女"), born, title, form, since))
    return rows


def write_roster(path: Path, rows: Rows) -> Path:
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("教职工")
        for number, row in enumerate([HEADER, *rows]):
            sheet.write_row(number, 0, row)
    return path


def join(hub: Site, college: Site, folder: Path, gonghui: Gonghui) -> None:  # noqa: F811
    """Upload the anchor, let two officers sign at their own machines, and enter."""
    on_hub = ("--config", hub.node.folder / "config.toml", "--token-file", hub.node.folder / "admin.token")
    cards: list[str | Path] = []
    for number in (1, 2):
        officer = gonghui("federation", "officer", folder / f"officer-{number}", "--name", f"主席{number}", "--json")
        cards += ["--card", officer.json["card"]]
    draft = folder / "founding.json"
    assert gonghui(*on_hub, "federation", "create", *cards, "--threshold", "2", "--out", draft).code == 0

    def sign(what: str | Path) -> None:
        for number in (1, 2):
            words = ("enrol", "approve", what, "--officer", folder / f"officer-{number}", "--hub", hub.url, "--yes")
            assert gonghui(*words).code == 0

    sign(draft)
    anchor = folder / "anchor.json"
    assert gonghui(*on_hub, "federation", "anchor", "--url", hub.url, "--out", anchor).code == 0
    page = college.open("gao")
    page.goto(college.url + "/peers")
    page.set_input_files("input[type=file]", anchor)
    page.click("text=申请加入")
    expect(page.locator("[role=status]")).to_contain_text("十六个词")
    keeper = hub.open("gao")
    keeper.goto(hub.url + "/peers")
    expect(keeper.locator("#waiting")).to_contain_text(college.node.node_id)
    sign(college.node.node_id)
    page.click("text=查看是否已获准")
    expect(page.locator("[role=status]")).to_contain_text("已加入联合体")


def import_roster(college: Site, file: Path, as_of: str) -> None:
    page = college.open("zhang")
    page.goto(college.url + "/imports/new")
    page.set_input_files("input[type=file]", file)
    page.fill("input[name=as_of]", as_of)
    page.click("main button")
    page.click("text=确认写入")
    expect(page.locator("[role=status]")).to_have_text("已写入。")


def prepare(college: Site, period: str, reason: str = "") -> str:
    page = college.open("zhang")
    page.goto(college.url + "/releases")
    page.fill("input[name=period]", period)
    page.fill("input[name=reason]", reason)
    page.click("text=编制草稿")
    expect(page.locator("[role=status]")).to_contain_text("草稿已编制")
    expect(page.locator("text=须由另一位审批人批准")).to_be_visible()
    return page.url


def approve(college: Site, address: str, picture: str = "") -> None:
    page = college.open("li")
    page.goto(college.url + "/")
    expect(page.locator(".todo", has_text="等待您审批")).to_be_visible()
    page.goto(address)
    if picture:
        snap(page, picture)
    page.click("text=批准并签名")
    expect(page.locator("[role=status]")).to_contain_text("已签名发布")


def synchronise(college: Site) -> Page:
    page = college.open("gao")
    page.goto(college.url + "/sync")
    page.click("text=立即同步")
    expect(page.locator("h2", has_text="本轮结果")).to_be_visible(timeout=30_000)
    return page


def figure(page: Page, name: str) -> str:
    row = page.locator("tr", has=page.get_by_role("link", name=name, exact=True))
    return row.locator("td").nth(1).inner_text().strip()


def test_from_a_file_to_the_screen_of_the_province(
    tmp_path: Path,
    chromium: Browser,
    serve: Callable[..., Served],
    gonghui: Gonghui,  # noqa: F811
) -> None:
    hub = found_site(
        tmp_path / "hub",
        chromium,
        serve,
        {"node.name": "省教育工会", "hub.enabled": True},
        {"gao": "admin", "sun": "analyst"},
    )
    college = found_site(
        tmp_path / "college",
        chromium,
        serve,
        {"node.name": "某某职业技术学院"},
        {"gao": "admin", "zhang": "officer", "li": "approver"},
    )
    rows = make_rows(240)
    join(hub, college, tmp_path, gonghui)
    import_roster(college, write_roster(tmp_path / "名册.xlsx", rows), "2025-09-30")
    approve(college, prepare(college, "2025U"), "release")
    synchronise(college)

    analyst = hub.open("sun")
    analyst.goto(hub.url + "/indicators")
    assert figure(analyst, "职工人数") == "240"
    members = sum(1 for row in rows if row[-1])
    assert figure(analyst, "会员人数") == str(members)
    assert figure(analyst, "入会率") == f"{(Decimal(100 * members) / 240).quantize(Decimal('0.1'), ROUND_HALF_UP)}%"
    snap(analyst, "board-hub")

    analyst.goto(hub.url + "/indicators/MEM_STAFF_CNT?period=2025U&table=T")
    counted = {"正高": "教授", "副高": "副教授", "中级": "讲师", "初级": "助教"}
    for name, title in counted.items():
        row = analyst.locator("table.figures tr", has=analyst.locator("td", has_text=re.compile(f"^{name}$"))).first
        shown = row.locator("td").nth(1).inner_text()
        assert shown in {str(sum(1 for item in rows if item[4] == title)), "不公开"}
    assert analyst.locator("img.chart").evaluate("image => image.complete && image.naturalWidth > 200")
    snap(analyst, "indicator-hub")
    with analyst.expect_download() as given:
        analyst.click("text=CSV")
    table = Path(given.value.path()).read_text(encoding="utf-8-sig")
    head = "职称级别,联合体,状态,状态代码（SDMX）,保护方法,预期误差,已报,应报,其中不公开,覆盖职工数,下四分位,上四分位"
    assert table.splitlines()[0] == head

    analyst.goto(hub.url + "/matrix?period=2025U")
    expect(analyst.locator("tr", has_text="某某职业技术学院").locator(".state").first).to_have_text("已报")
    snap(analyst, "matrix")
    analyst.locator("summary", has_text="审核").first.click()
    analyst.locator("input[name=note]").first.fill("请核对教授人数")
    analyst.locator("button", has_text="退回修改").first.click()
    expect(analyst.locator("[role=status]")).to_contain_text("审核意见已签名")

    expect(synchronise(college).locator("#reviews")).to_contain_text("请核对教授人数")
    officer = college.open("zhang", PHONE)
    officer.goto(college.url + "/")
    expect(officer.locator(".todo")).to_contain_text("退回修改：请核对教授人数")
    corrected = [(*row[:4], "教授" if row[4] == "副教授" else row[4], *row[5:]) for row in rows]
    import_roster(college, write_roster(tmp_path / "名册.xlsx", corrected), "2025-09-30")
    approve(college, prepare(college, "2025U", "按审核意见更正职称"))
    synchronise(college)
    officer.reload()
    expect(officer.locator(".todo", has_text="退回修改")).to_have_count(0)
    analyst.goto(hub.url + "/matrix?period=2025U")
    expect(analyst.locator("tr", has_text="某某职业技术学院")).to_contain_text("第 2 版")
    assert figure(analyst_at(hub, "/indicators?period=2025U"), "职工人数") == "240"

    for path in ("/indicators", "/indicators/MEM_CNT?table=G,T", "/releases", "/"):
        phone = college.open("li", PHONE)
        phone.goto(college.url + path)
        check_width(phone)
        snap(phone, f"phone{path.split('?', 1)[0].replace('/', '-')}")
    for site in (hub, college):
        close_site(site)


def analyst_at(hub: Site, path: str) -> Page:
    page = hub.open("sun")
    page.goto(hub.url + path)
    return page

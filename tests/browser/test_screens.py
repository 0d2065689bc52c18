"""What people do, in Chromium: set a password, import a roster, offer an event; on a desk, on a phone, on paper."""

import re
from pathlib import Path

import pytest
import xlsxwriter
from playwright.sync_api import Page, expect

from tests.browser.conftest import DESKTOP, PASSWORD, PHONE, Site, check_width, snap

pytestmark = pytest.mark.browser
SIZES = {"desktop": DESKTOP, "phone": PHONE}
HEADER = ("工号", "姓名", "性别", "出生日期", "专业技术职务", "入会时间", "校园卡类型")
TITLES = ("教授", "副教授", "讲师", "助教", "特聘某员")


def write_roster(path: Path, count: int) -> Path:
    """Write a roster as a personnel office does: a title line, a footer, one row with a day that does not exist."""
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet("教职工")
        sheet.write(0, 0, "某某职业技术学院教职工名册")
        sheet.write_row(1, 0, HEADER)
        for number in range(1, count + 1):
            born = "1980-02-30" if number == 7 else f"19{60 + number % 35}-0{1 + number % 9}-15"
            gender = "男" if number % 2 else "女"
            row = (f"{number:05}", f"教工{number}", gender, born, TITLES[number % 5], "2010-05-01", "A")
            sheet.write_row(1 + number, 0, row)
        sheet.write(count + 2, 0, "填表人：某某")
    return path


def tile(page: Page, name: str) -> str:
    return page.locator(".tile", has=page.locator("dt", has_text=re.compile(f"^{name}$"))).locator("dd").inner_text()


def test_the_first_administrator_sets_a_password_and_adds_an_account(site: Site) -> None:
    page = site.open()
    page.goto(site.setup_link)
    page.fill("input[name=password]", PASSWORD)
    page.fill("input[name=again]", PASSWORD)
    page.click("main button")
    expect(page.locator("[role=status]")).to_contain_text("密码已设置")
    snap(page, "sign-in")
    page.fill("input[name=name]", "it")
    page.fill("input[name=password]", PASSWORD)
    page.click("main button")
    expect(page.locator("h1")).to_have_text("某某职业技术学院")
    page.click("text=账号 >> nth=0")
    page.fill("input[name=name]", "wang")
    page.select_option("#f-role", "viewer")
    page.click("text=增加 >> nth=-1")
    link = page.locator("code.secret").inner_text()
    assert link.startswith(site.url + "/setup/")


@pytest.mark.parametrize("size", SIZES)
def test_a_roster_from_file_to_undo(site: Site, tmp_path: Path, size: str) -> None:
    page = site.open("zhang", SIZES[size])
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(site.url + "/imports/new")
    check_width(page)
    snap(page, f"import-1-file-{size}")
    page.set_input_files("input[type=file]", write_roster(tmp_path / "教职工名册2026.xlsx", 60))
    page.fill("input[name=as_of]", "2026-03-31")
    page.click("main button")
    expect(page.locator("h2", has_text="这些列不认识")).to_be_visible()
    check_width(page)
    snap(page, f"import-2-questions-{size}")
    page.click("text=记住并继续")
    assert (tile(page, "名册行数"), tile(page, "新增"), tile(page, "拒绝")) == ("60", "59", "1")
    expect(page.locator("table", has_text="2 月 30 日")).to_be_visible()
    page.select_option("select[name=code-0]", label="讲师")
    page.click("text=记住并再核对")
    expect(page.locator("text=没有代码的取值")).to_have_count(0)
    page.locator("summary", has_text="列的含义").click()
    check_width(page)
    snap(page, f"import-3-preview-{size}")
    page.click("text=确认写入")
    expect(page.locator("[role=status]")).to_have_text("已写入。")
    check_width(page)
    snap(page, f"import-4-done-{size}")
    page.click("text=撤销这次导入")
    expect(page.locator("[role=status]")).to_contain_text("已撤销")


def test_the_same_without_script(site: Site, tmp_path: Path) -> None:
    page = site.open("zhang", java_script_enabled=False)
    page.goto(site.url + "/imports/new")
    page.set_input_files("input[type=file]", write_roster(tmp_path / "a.xlsx", 10))
    page.fill("input[name=as_of]", "2026-03-31")
    page.click("main button")
    page.click("text=记住并继续")
    page.click("text=确认写入")
    expect(page.locator("[role=status]")).to_have_text("已写入。")


def test_the_upload_shows_that_it_works(site: Site, tmp_path: Path) -> None:
    page = site.open("zhang")
    page.goto(site.url + "/imports/new")
    page.set_input_files("input[type=file]", write_roster(tmp_path / "a.xlsx", 10))
    page.evaluate("document.querySelector('form[data-busy]').addEventListener('submit', (e) => e.preventDefault())")
    page.click("main button")
    expect(page.locator(".busy")).to_contain_text("正在上传")
    expect(page.locator("form[data-busy] button")).to_be_disabled()


@pytest.mark.parametrize("size", SIZES)
def test_an_event(site: Site, size: str) -> None:
    page = site.open("zhang", SIZES[size])
    page.goto(site.url + "/notices/new")
    page.fill("input[name=title]", "教职工羽毛球邀请赛")
    page.select_option("select[name=kind]", "sports")
    page.fill("input[name=place]", "体育馆")
    page.fill("input[name=starts]", "2030-12-12T14:00")
    page.fill("input[name=ends]", "2030-12-12T17:00")
    page.fill("input[name=seats]", "60")
    check_width(page)
    page.click("main button")
    expect(page.locator("h1")).to_have_text("预览")
    snap(page, f"event-preview-{size}")
    page.click("text=签名并发布")
    expect(page.locator("[role=status]")).to_contain_text("已发布")
    check_width(page)
    snap(page, f"events-{size}")


@pytest.mark.parametrize("size", SIZES)
def test_every_page_fits(site: Site, size: str) -> None:
    pages = {
        "gao": ("/", "/users", "/peers", "/sync", "/quarantine", "/settings", "/nowhere"),
        "zhang": ("/", "/imports", "/notices", "/records"),
    }
    for name, paths in pages.items():
        page = site.open(name, SIZES[size])
        for language in ("en", "zh"):
            for path in paths:
                page.goto(f"{site.url}{path}?lang={language}")
                check_width(page)
        page.goto(site.url)
        snap(page, f"home-{name}-{size}")


def test_the_menu_opens_on_a_phone(site: Site) -> None:
    page = site.open("zhang", PHONE)
    expect(page.locator("nav")).to_be_hidden()
    page.click("label.menu-button")
    page.click("nav >> text=活动通知")
    expect(page.locator("h1")).to_have_text("活动通知")


def test_paper_has_no_menu_and_no_buttons(site: Site) -> None:
    page = site.open("gao")
    page.goto(site.url + "/users")
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("main button >> nth=0")).to_be_hidden()
    expect(page.locator("main table")).to_be_visible()


def test_the_language_is_switched_where_one_is(site: Site) -> None:
    page = site.open("zhang")
    page.goto(site.url + "/notices?past=yes")
    page.click("text=English")
    expect(page.locator("h1")).to_have_text("Events")
    assert "past=yes" in page.url
    page.click("text=中文")
    expect(page.locator("h1")).to_have_text("活动通知")

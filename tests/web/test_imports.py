"""The import wizard: questions, preview, leavers, confirmation, undo; and what an officer sees of a bad file."""

import re
from collections.abc import Callable

import httpx
from sqlmodel import select

from node.access.permissions import Actor
from node.context import Node
from node.intake.models import ImportFile
from node.members import roster
from node.members.known import load_known
from tests.http.conftest import ROSTER
from tests.web.conftest import Browser, forms_of, heading

Open = Callable[..., Browser]
OFFICER = Actor("a-officer", "officer", "officer")


def upload(browser: Browser, text: str | bytes, name: str = "名册2026.csv", **fields: str) -> httpx.Response:
    content = text.encode() if isinstance(text, str) else text
    page = browser.get("/imports/new")
    assert heading(page) == "导入名册"
    return browser.send(page, "/imports", files={"file": (name, content)}, as_of="2026-09-30", **fields)


def path_of(page: httpx.Response) -> str:
    return page.url.path


def tiles(page: httpx.Response) -> dict[str, int]:
    found = re.findall(r"<dt>([^<]+)</dt>\s*<dd>([\d,]+)</dd>", page.text)
    return {name: int(count.replace(",", "")) for name, count in found}


def on_the_job(node: Node) -> int:
    with node.database.read() as session:
        return sum(1 for spells in load_known(session).staff.values() if spells[-1].end is None)


def test_from_file_to_undo(open_browser: Open, node: Node) -> None:
    browser = open_browser("officer")
    shown = browser.follow(upload(browser, ROSTER))
    assert tiles(shown) == {"名册行数": 12, "新增": 12, "变化": 0, "不变": 0, "拒绝": 0}
    assert on_the_job(node) == 0, "a preview writes nothing"
    assert "“名册2026.csv”等待确认" in browser.get("/").text
    done = browser.follow(browser.send(shown, f"{path_of(shown)}/confirm"))
    assert "已写入" in done.text
    assert on_the_job(node) == 12
    again = browser.follow(upload(browser, ROSTER))
    assert tiles(again)["不变"] == 12
    same = browser.follow(browser.send(again, f"{path_of(again)}/confirm"))
    assert "没有写入任何内容" in same.text
    undone = browser.follow(browser.send(browser.get("/imports"), f"{path_of(shown)}/undo"))
    assert "已撤销" in undone.text
    assert on_the_job(node) == 0


def test_what_was_shown_is_what_is_written(open_browser: Open, node: Node) -> None:
    browser, other = open_browser("officer"), open_browser("officer")
    mine = browser.follow(upload(browser, ROSTER))
    theirs = other.follow(upload(other, ROSTER.splitlines()[0] + "\n0099,另一人,女,1980-01-02,讲师,2010-05-01\n"))
    other.send(theirs, f"{path_of(theirs)}/confirm")
    refused = browser.send(mine, f"{path_of(mine)}/confirm")
    assert (refused.status_code, "data-changed-meanwhile" in refused.text) == (409, True)
    assert on_the_job(node) == 1
    forged = browser.send(mine, f"{path_of(mine)}/confirm", known_at="一")
    assert forged.status_code == 409


def test_columns_and_values_are_asked_and_remembered(open_browser: Open, node: Node) -> None:
    browser = open_browser("officer")
    text = "工号,姓名,性别,备用列,职称\n1,甲,男,x,特聘某员\n2,乙,女,y,讲师\n"
    page = browser.follow(upload(browser, text))
    assert "备用列" in page.text
    path = path_of(page)
    assert not [form for form in forms_of(page) if form.action == f"{path}/confirm"], "first the questions"
    answers = f"{path}/answers"
    page = browser.follow(
        browser.client.post(answers, data=next(f for f in forms_of(page) if f.action == answers).fields)
    )
    assert "不保存的列：备用列" in page.text
    form = next(form for form in forms_of(page) if form.action == answers)
    assert form.fields["value"] == "title:特聘某员"
    bad = browser.client.post(answers, data={**form.fields, "code-0": "999"})
    assert (bad.status_code, "code-unknown" in bad.text) == (422, True)
    page = browser.follow(browser.client.post(answers, data={**form.fields, "code-0": "013"}))
    assert "没有代码的取值" not in page.text
    browser.send(page, f"{path}/confirm")
    page = browser.follow(upload(browser, text))
    assert tiles(page)["不变"] == 2, "the answers were kept for this source"
    forgot = browser.follow(browser.send(browser.get("/imports"), "/imports/mappings/forget"))
    assert "已忘记" in forgot.text
    assert not roster.list_mappings(node, OFFICER)


def test_bare_gender_digits_are_asked(open_browser: Open) -> None:
    browser = open_browser("officer")
    page = browser.follow(upload(browser, "工号,性别\n1,0\n2,1\n"))
    assert page.status_code == 422
    form = next(form for form in forms_of(page) if form.action.endswith("/answers"))
    assert form.fields["value"] == ["gender:0", "gender:1"]
    page = browser.follow(browser.client.post(form.action, data={**form.fields, "code-0": "2", "code-1": "1"}))
    assert tiles(page)["新增"] == 2


def test_two_columns_for_one_field_are_asked(open_browser: Open) -> None:
    browser = open_browser("officer")
    page = browser.follow(upload(browser, "工号,姓名,姓名\n1,甲,乙\n".replace("姓名,姓名", "姓名,姓 名")))
    assert (page.status_code, "columns-claim-one-field" in page.text or "都表示" in page.text) == (422, True)
    form = next(form for form in forms_of(page) if form.action.endswith("/answers"))
    assert len(form.fields["header"]) == 2


def test_a_bad_file_is_explained_and_given_up(open_browser: Open, node: Node) -> None:
    browser = open_browser("officer")
    for text, said in ((b"", "文件是空的"), ("甲,乙\n1,2\n", "表头"), (b"\xff\xff\xfe\xfa,\x81", "编码")):
        page = browser.follow(upload(browser, text))
        assert (page.status_code, said in page.text) == (422, True), page.text[-900:]
        left = browser.follow(browser.send(page, f"{path_of(page)}/discard"))
        assert "没有写入任何内容" in left.text
    for fields, said in (
        ({"as_of": "2026-13-01"}, "2026-09-30"),
        ({"as_of": "2030-01-01"}, "在将来"),
        ({"complete": "other"}, "完整名册或部分名册"),
    ):
        page = browser.get("/imports/new")
        files = {"file": ("a.csv", ROSTER.encode())}
        answer = browser.send(page, "/imports", files=files, **{"as_of": "2026-09-30", **fields})
        assert (answer.status_code, said in answer.text) == (422, True)
    page = browser.get("/imports/new")
    assert "请先选择文件" in browser.send(page, "/imports").text
    big = upload(browser, b"x" * 1_000_001)
    assert (big.status_code, "file-too-large" in big.text or "超过上限" in big.text) == (413, True)
    huge = upload(browser, b"x" * 4_000_000)
    assert (huge.status_code, "超过上限" in huge.text) == (413, True)
    with node.database.read() as session:
        assert {item.state for item in session.exec(select(ImportFile)).all()} == {"discarded"}
    assert not list((node.folder / "staging").iterdir()), "no file with persons is left lying"


def test_row_errors_are_masked_and_grouped(open_browser: Open) -> None:
    browser = open_browser("officer")
    rows = "".join(f"{n},人{n},1985-02-30,自定职称\n" for n in range(1, 31)) + "31,末,2090-01-01,讲师\n"
    page = browser.follow(upload(browser, "工号,姓名,出生日期,职称\n" + rows))
    assert tiles(page)["拒绝"] == 31
    assert "…共 30 行" in page.text
    assert "1985-02-30" not in page.text
    assert page.text.count('class="state bad"') == 2


def test_leavers_are_confirmed_by_name_or_all(open_browser: Open, node: Node) -> None:
    browser = open_browser("officer")
    first = browser.follow(upload(browser, ROSTER))
    browser.send(first, f"{path_of(first)}/confirm")
    half = "\n".join(ROSTER.splitlines()[:9])
    page = browser.follow(upload(browser, half))
    assert tiles(page)["缺席"] == 4
    confirm = f"{path_of(page)}/confirm"
    fields = next(form for form in forms_of(page) if form.action == confirm).fields
    assert fields["leavers"] == "keep", "nobody leaves unless somebody says so"
    person = re.findall(r'name="left" value="([^"]+)"', page.text)[0]
    bad = browser.client.post(confirm, data={**fields, "leavers": "all", "reason": "FIRED"})
    assert bad.status_code == 400
    browser.client.post(confirm, data={**fields, "leavers": "some", "left": [person, "nobody"], "reason": "RETIRE"})
    assert on_the_job(node) == 11
    page = browser.follow(upload(browser, half))
    confirm = f"{path_of(page)}/confirm"
    fields = next(form for form in forms_of(page) if form.action == confirm).fields
    done = browser.follow(browser.client.post(confirm, data={**fields, "leavers": "all"}))
    assert "确认离开 3 人" in done.text
    assert on_the_job(node) == 8

"""`gonghui indicators` as a script uses it."""

from pathlib import Path

from node.access.models import Account
from node.access.service import digest_of
from node.clock import now
from node.context import open_node
from node.founding import found_node
from tests.cli.conftest import Gonghui


def test_from_roster_to_figures(gonghui: Gonghui, tmp_path: Path) -> None:
    made = found_node(tmp_path / "n", {"node.name": "学院"}, admin="admin")
    node = open_node(made.config)
    with node.database.write() as session:
        session.add(Account(id="a", name="officer", role="officer", token_digest=digest_of("t"), created_at=now()))
    node.database.close()
    token = tmp_path / "token"
    token.write_text("t", encoding="utf-8")
    before = ("--config", made.config, "--token-file", token)
    listed = gonghui(*before, "indicators", "list", "--json").json["indicators"]
    assert len(listed) == 80
    assert next(item for item in listed if item["code"] == "MEM_CNT")["dataflow"] == "MEM.all"
    assert "MEM_DENSITY" in gonghui(*before, "indicators", "list", "--computed").out
    said = gonghui(*before, "--lang", "en", "indicators", "show", "MEM_XFER_CNT")
    assert "transfers through the exchange" in said.out
    assert gonghui(*before, "indicators", "show", "NO_SUCH").code == 3
    said = gonghui(*before, "indicators", "values", "MEM_CNT", "--period", "2025U", "--json")
    assert said.json["figures"] == [{"dims": {}, "status": "O", "reason": "no-source:membership"}]
    file = tmp_path / "r.csv"
    file.write_text("工号,性别,人员状态,是否会员\n1,男,在职,是\n2,女,在职,否\n3,女,在职,是\n", encoding="utf-8")
    done = gonghui(*before, "data", "import", file, "--as-of", "2025-09-30", "--full", "--yes", "--json")
    assert done.code == 0, done.error
    said = gonghui(*before, "indicators", "compute", "2025U", "--json")
    assert (said.json["period"], said.json["known_at"], said.json["preliminary"]) == ("2025U", 1, False)
    assert said.json["figures"]["A"] > 10
    said = gonghui(*before, "indicators", "values", "MEM_CNT", "--period", "2025U", "--by", "G", "--json")
    assert [(f["dims"]["G"], f["status"], f["value"]) for f in said.json["figures"]] == [
        ("1", "A", "1"), ("2", "A", "1"), ("9", "A", "0"), ("_U", "A", "0"),
    ]  # fmt: skip
    assert said.json["protected"] is False
    said = gonghui(*before, "indicators", "values", "MEM_DENSITY", "--period", "2025U", "--json")
    assert said.json["figures"] == [{"dims": {}, "status": "A", "value": "66.7", "numerator": 2, "denominator": 3}]
    said = gonghui(*before, "indicators", "values", "MEM_JOIN_CNT", "--period", "2025U")
    assert "无数据" in said.out
    assert "入会时间" in said.out
    earlier = gonghui(*before, "indicators", "values", "MEM_CNT", "--period", "2025U", "--known-at", "0", "--json")
    assert earlier.json["figures"][0]["status"] == "O"
    assert gonghui(*before, "indicators", "values", "MEM_CNT", "--period", "2025U", "--by", "X").code == 2
    assert gonghui(*before, "indicators", "compute", "2025-13").code == 3
    admin = ("--config", made.config, "--token-file", made.token_file)
    assert gonghui(*admin, "indicators", "compute", "2025U").code == 4
    assert gonghui(*admin, "indicators", "values", "MEM_CNT", "--period", "2025U").code == 7

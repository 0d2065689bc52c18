"""A college joins its industry line and its territory by the commands that people type, and works in both."""

from pathlib import Path
from typing import Any

from tests.cli.town import HUB, Town
from tests.faults.federation import free_port


def _found(path: Path, name: str) -> Town:
    """Found a hub with one officer, who signs alone."""
    town = Town(path)
    port = free_port()
    town.urls[HUB] = f"http://127.0.0.1:{port}"
    town.init(HUB, "--hub", "--port", port, "--public-url", town.urls[HUB])
    town.type("federation", "officer", path / "officer-1", "--name", "管理员", "--json")
    card = path / "officer-1" / "officer.json"
    draft = town.do(HUB, "federation", "create", "--name", name, "--threshold", "1", "--card", card, "--json")
    town.serve(HUB)
    town.approve(draft["draft"], officers=(1,))
    town.do(HUB, "federation", "anchor", "--out", town.anchor)
    return town


def _states(told: dict[str, Any]) -> dict[str, str]:
    return {one["federation"]["name"]: one["state"] for one in told["federations"]}


def test_a_college_joins_two_federations_by_commands_and_leaves_one(tmp_path: Path) -> None:
    industry, territory = _found(tmp_path / "industry", "教育工会"), _found(tmp_path / "territory", "市总工会")
    try:
        identity = industry.init("ann")
        for town in (industry, territory):
            sent = industry.do("ann", "enrol", "request", "--anchor", town.anchor, "--json")
            assert sent["sent_to"] == town.urls[HUB]
            town.approve(identity, officers=(1,))
        assert _states(industry.do("ann", "enrol", "status", "--json")) == {"教育工会": "active", "市总工会": "active"}

        refused = industry.do("ann", "federation", "show", code=7)
        for choice in ("federation-ambiguous", "教育工会", "市总工会"):
            assert choice in refused
        shown = industry.type(*_at(industry), "--federation", "市总工会", "federation", "show", "--json")
        assert shown["name"] == "市总工会"

        industry.write("ann", "健步走")
        industry.sync("ann")
        for town in (industry, territory):
            notices = town.do(HUB, "notice", "list", "--json", who="zhang")["notices"]
            assert [notice["title"] for notice in notices] == ["健步走"]
        told = industry.do("ann", "sync", "status", "--json")["federations"]
        assert [one["outbox"]["delivered"] for one in told] == [1, 1]
        evidence = industry.do("ann", "record", "alarms", "--json")["federations"]
        assert [one["checkpoint"]["missing"] for one in evidence] == [0, 0], "each hub is a witness of the one log"
        said = {finding["said"] for finding in industry.do("ann", "doctor", "--json")["findings"]}
        assert {name for name in ("教育工会", "市总工会") for one in said if one.startswith(name)} == {
            "教育工会",
            "市总工会",
        }

        industry.type(*_at(industry), "--federation", "市总工会", "federation", "leave", "--yes", "--json")
        assert industry.standing("ann") == "active", "one is left, and nobody needs to say which"
        industry.do("ann", "enrol", "request", "--anchor", territory.anchor, "--json")
        assert _states(industry.do("ann", "enrol", "status", "--json"))["市总工会"] == "active"
    finally:
        industry.end()
        territory.end()


def _at(town: Town) -> list[object]:
    return ["--config", town.at("ann").config, "--token-file", town.path / "ann" / "admin.token"]

"""The people of a node that serves: its API, and for passwords its pages, as a browser would."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from node.demo.crew import Crew
from node.demo.http import Api
from node.demo.office import ANALYST, APPROVER, OFFICER, Account, Founded, Office
from node.demo.rosters import CollegePlan, Roster
from node.demo.signin import new_password, set_password


class ServedOffice(Office):
    """Everything over HTTP, by the account whose office it is."""

    def __init__(self, crew: Crew, node: Founded, port: int, plan: CollegePlan | None = None) -> None:
        super().__init__(node, plan)
        self.url = crew.serve(node.config, port).url
        self._api = Api(self.url, node.token)  # as the administrator, unless a call names another
        crew.at_end.callback(self._api.close)

    def open_account(self, name: str, role: str) -> None:
        """Let somebody in with a token; a password is for those who look at pages."""
        added = self._api.post("/users", {"name": name, "role": role})
        token = self._api.post(f"/users/{added['id']}/token")["token"]
        self.accounts[role] = Account(name, role, token, setup_path=added["setup_path"])

    def set_password(self, role: str) -> None:
        """Open the one-time link of an account and choose its password there."""
        account = self.accounts[role]
        password = new_password()
        set_password(self.url, account.setup_path, password)
        self.accounts[role] = replace(account, password=password)

    def token_of(self, role: str) -> str:
        """Return the token of the account that has a role."""
        return self.accounts[role].token

    def ask_to_join(self, anchor: Path) -> None:
        """Pin the anchor's federation and ask to join."""
        self._api.send("/join", anchor)

    def enter(self) -> str:
        """Look whether the officers have signed; once they have, the first round is run."""
        return str(self._api.post("/join/standing")["state"])

    def take_roster(self, roster: Roster) -> dict[str, Any]:
        """Stage, look, confirm."""
        token = self.token_of(OFFICER)
        shown: dict[str, Any] = self._api.send(
            "/imports", roster.file, token=token,
            as_of=roster.as_of.isoformat(), complete="true", unknown_columns="drop",
        )  # fmt: skip
        confirmed = {"known_at": shown["known_at"], "leavers": "confirm"}
        self._api.post(f"/imports/{shown['import']}/confirm", confirmed, token=token)
        return shown

    def prepare(self, period: str, *, reason: str = "", provisional: bool = False) -> dict[str, Any]:
        """Prepare the release of a period, as the officer."""
        body = {"period": period, "reason": reason, "provisional": provisional}
        prepared: dict[str, Any] = self._api.post("/releases", body, token=self.token_of(OFFICER))
        return prepared

    def approve(self, release: dict[str, Any]) -> None:
        """Approve what was prepared by its digests, as the approver."""
        digests = [dataflow["digest"] for dataflow in release["dataflows"]]
        self._api.post(f"/releases/{release['id']}/approve", {"digests": digests}, token=self.token_of(APPROVER))

    def sync(self) -> list[dict[str, Any]]:
        """Run one round."""
        results: list[dict[str, Any]] = self._api.post("/sync/run")
        return results

    def contribute(self, family: str) -> None:
        """Consent as the approver."""
        self._api.post(f"/totals/{family}/consent", {"on": True}, token=self.token_of(APPROVER))

    def vouch(self, family: str, nodes: Sequence[str]) -> None:
        """Say, as the second body, whom its own register knows."""
        self._api.post(f"/totals/{family}/vouch", {"nodes": list(nodes)})

    def begin_total(self, family: str, period: str) -> None:
        """At the hub: begin a period's total."""
        self._api.post(f"/totals/{family}/{period}", {}, token=self.token_of(ANALYST))

    def total(self, family: str, period: str) -> dict[str, Any]:
        """Return where a period's total stands, as this node sees it."""
        found: dict[str, Any] = self._api.get(f"/totals/{family}/{period}")
        return found

    def publish_notice(self, values: dict[str, str]) -> str:
        """Offer an event."""
        body = {**values, "seats": int(values["seats"])}
        return str(self._api.post("/notices", body, token=self.token_of(OFFICER))["id"])

    def cancel_notice(self, notice: str, note: str) -> None:
        """Call an event off."""
        self._api.post(f"/notices/{notice}/cancel", {"note": note}, token=self.token_of(OFFICER))

    def list_records(self, kind: str) -> list[dict[str, Any]]:
        """At the hub: the records of a kind, own and received."""
        found: list[dict[str, Any]] = self._api.get("/records", token=self.token_of(ANALYST), kind=kind)
        return found

    def quarantine(self) -> list[dict[str, Any]]:
        """Return what was received and does not count."""
        found: list[dict[str, Any]] = self._api.get("/sync/quarantine")
        return found

    def rollup(self, period: str) -> list[dict[str, Any]]:
        """At the hub: every combined figure of a period."""
        found: list[dict[str, Any]] = self._api.get("/rollup", token=self.token_of(ANALYST), period=period)
        return found

    def review(self, record: str, verdict: str, note: str) -> None:
        """At the hub: accept a release, or return it for correction."""
        body = {"record": record, "verdict": verdict, "note": note}
        self._api.post("/reviews", body, token=self.token_of(ANALYST))

    def write_token(self, role: str) -> Path:
        """Write the token of an account into a file of mode 0600 for commands, and return it."""
        file = self.node.config.with_name(f"{self.accounts[role].name}.token")
        file.touch(mode=0o600)
        file.write_text(self.token_of(role) + "\n", encoding="utf-8")
        return file

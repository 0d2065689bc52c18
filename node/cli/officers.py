"""What the officers' commands share: folder, where the list comes from, looking, asking, signing, handing back."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from federation.changes import Change
from federation.client import PeerClient
from federation.differences import Difference
from federation.drafts import Draft
from federation.enrolment import EnrolmentRequest
from federation.errors import InputRefused, StorageError, UsageError
from federation.keys import fingerprint
from federation.listfile import read_list_file
from federation.membership import MemberList
from federation.roll import MemberEntry
from federation.spoken import spoken
from node.cli.state import ERR, OUT, State, print_json
from node.clock import now
from node.officer.folder import OfficerFolder
from node.officer.work import Desk, FileDesk, HubDesk, Signed, find_founding, open_latest, propose_change, sign

PASSPHRASE = "GONGHUI_OFFICER_PASSPHRASE"  # noqa: S105  the name of a variable

Officer = Annotated[Path, typer.Option("--officer", metavar="DIR", help="管理员目录 / the officer's folder")]
Hub = Annotated[str, typer.Option("--hub", metavar="URL", help="汇总节点地址 / address of the hub")]
ListFile = Annotated[
    Path | None, typer.Option("--list", metavar="FILE", help="离线：名录文件 / off line: the list as a file")
]
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="离线：写出草稿 / off line: write the draft")]
Anchor = Annotated[Path | None, typer.Option("--anchor", metavar="FILE", help="信任锚，首次 / the anchor, once")]
CaFile = Annotated[str, typer.Option("--ca-file", help="自有 CA 证书 / own CA certificate")]
Yes = Annotated[bool, typer.Option("--yes", help="不询问 / do not ask")]
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


@dataclass(frozen=True)
class Place:
    """Where an officer works: folder, hub or files, and whether to ask."""

    officer: Path
    hub: str = ""
    list_file: Path | None = None
    out: Path | None = None
    anchor: Path | None = None
    ca_file: str = ""
    yes: bool = False
    as_json: bool = False

    @property
    def folder(self) -> OfficerFolder:
        """Return the officer's folder."""
        return OfficerFolder(self.officer)

    @contextmanager
    def open_desk(self) -> Iterator[Desk]:
        """Give the hub, or the files; raise UsageError where neither is named."""
        if self.hub:
            with PeerClient(self.hub, ca_file=self.ca_file) as client:
                yield HubDesk(client)
            return
        if self.out is None:
            raise UsageError(
                "desk-missing",
                "请用 --hub 给出汇总节点地址，或离线时用 --list 和 --out。",
                "Name the hub with --hub, or work off line with --list and --out.",
            )
        yield FileDesk(read_list_file(read_file(self.list_file)) if self.list_file else {}, self.out)


MakeDraft = Callable[[MemberList | None, Desk], tuple[Draft, Sequence[EnrolmentRequest]]]


def read_file(path: Path) -> bytes:
    """Return a file's bytes; raise StorageError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError("file-unreadable", f"读不到文件 {path}。", f"Cannot read {path}.") from error


def find_entry(held: MemberList | None, text: str) -> MemberEntry:
    """Return the member of this id, name or code; raise InputRefused where there is none, or several."""
    members = held.members.values() if held else ()
    found = [entry for entry in members if text in {entry.id, entry.name, entry.code}]
    if len(found) != 1:
        raise InputRefused("member-unknown", "名录中没有这个成员（或不唯一）。", "No such member, or more than one.")
    return found[0]


def run_change(
    state: State, place: Place, change: Callable[[MemberList | None], Sequence[Change]], *, renew_root: bool = False
) -> None:
    """Propose an officer's own change, show it, ask, sign and hand it back."""
    run(state, place, lambda held, _: (propose_change(held, change(held), now(), renew_root=renew_root), ()))


def run(state: State, place: Place, make: MakeDraft, names: Sequence[str] = ()) -> None:
    """Let the officer look at a draft, sign it and hand it back; exit 1 where the officer said no.

    `names` are requests or a draft that the officer named.
    """
    anchor = read_file(place.anchor) if place.anchor else None
    with place.open_desk() as desk:
        founding = find_founding(desk, names)
        held = open_latest(place.folder, desk, now(), anchor) if founding is None else None
        draft, requests = make(held, desk) if founding is None else (founding, ())

        def confirm(found: Sequence[Difference], asked: Sequence[EnrolmentRequest]) -> bool:
            _show(state, found, asked)
            return place.yes or typer.confirm("签署这些变更？/ sign these changes?", default=False, err=True)

        signed = sign(place.folder, desk, held, draft, os.environ.get(PASSPHRASE, ""), confirm, requests)
    if signed is None:
        raise typer.Exit(1)
    _tell(signed, as_json=place.as_json)


def _show(state: State, found: Sequence[Difference], asked: Sequence[EnrolmentRequest]) -> None:
    for request in asked:
        ERR.print(f"申请 / request: {request.applicant.name}  {request.applicant.id}", markup=False, highlight=False)
        ERR.print(f"  指纹 / fingerprint: {fingerprint(request.key)}", markup=False, highlight=False)
        ERR.print(f"  电话核对 / by telephone: {spoken(request.key.keyid)}", markup=False, highlight=False)
    for difference in found:
        ERR.print(f"- {difference.text.in_language(state.language)}", markup=False, highlight=False)


def _tell(signed: Signed, *, as_json: bool) -> None:
    told = {
        "missing": signed.missing,
        "differences": [{"what": item.what, "subject": item.subject} for item in signed.differences],
        **signed.told,
    }
    if as_json:
        print_json(told)
        return
    if told.get("state") == "published":
        OUT.print("已生效 / published", markup=False)
    elif signed.missing:
        OUT.print(f"已签署，还缺 {signed.missing} 个签名 / signed; {signed.missing} more needed", markup=False)
    else:
        OUT.print("签名已齐，请交汇总节点 / all signatures are there; hand it to the hub", markup=False)
    for name in ("draft", "file"):
        if told.get(name):
            OUT.print(f"  {name}: {told[name]}", markup=False, highlight=False)

"""`gonghui verify`: check an exported document off line; exit code 5 where a signature or its trust does not hold."""

from pathlib import Path
from typing import Annotated, Any

import typer

from federation.equivocation import Contradiction
from federation.errors import InputRefused, TrustError, UsageError
from federation.evidence import (
    MAX_EVIDENCE_BYTES,
    Evidence,
    FindMember,
    check_document,
    check_evidence,
    read_hub_and_members,
    read_key_file,
    read_member_list,
)
from node.cli.state import OUT, State, print_json


def verify(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="导出的文件 / an exported document")],
    key: Annotated[Path | None, typer.Option(help="签名者公钥文件 / public-key file of the signer")] = None,
    member_list: Annotated[Path | None, typer.Option(help="导出的成员名录 / an exported member list")] = None,
    opened: Annotated[
        Path | None, typer.Option(help="密封条目的明文 / the plaintext that a reader shows of a sealed record")
    ] = None,
    fingerprint: Annotated[str, typer.Option(help="汇总节点密钥指纹 / fingerprint of the hub's key")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")] = False,
) -> None:
    """离线核验：谁的密钥、何时、为谁签了什么 / check off line which key signed what, when, for whom.

    Example: gonghui verify release.json --member-list members.json --fingerprint "ab12 cd34 ..."
    """
    state: State = context.obj
    find_member, anchor = _anchor(state, key, member_list)
    wanted = "".join(fingerprint.split()).lower()
    if wanted and wanted != "".join(anchor.split()):
        raise TrustError("fingerprint-mismatch", "密钥指纹不符。", "The fingerprint is another one.", found=anchor)
    data = _load(file).rstrip(b"\r\n")
    if not data.startswith(b'{"payload"'):
        _verify_evidence(state, data, find_member, member_list, anchor, as_json=as_json)
        return
    plaintext = _load(opened).rstrip(b"\r\n") if opened else b""
    evidence = check_document(data, find_member, plaintext)
    result = _result(evidence, anchor, compared=bool(wanted))
    if as_json:
        print_json(result)
        return
    _show(result, state.language)


def _anchor(state: State, key: Path | None, member_list: Path | None) -> tuple[FindMember, str]:
    """Return whose keys are believed, and the fingerprint that a person should compare."""
    if key is not None and member_list is not None:
        raise UsageError("option-conflict", "--key 与 --member-list 只能选一个。", "Use --key or --member-list.")
    if key is not None:
        return read_key_file(_load(key).decode("utf-8", "replace")), ""
    if member_list is not None:
        return read_member_list(_load(member_list).rstrip(b"\r\n"))
    if not state.config.exists():
        raise UsageError(
            "anchor-missing",
            "请用 --key 给出公钥，或用 --member-list 给出成员名录。",
            "Give a public key with --key, or a member list with --member-list.",
        )
    from node.stream.service import find_member, get_federation

    with state.node.database.read() as session:
        federation = get_federation(session, state.node)

    def look_up(keyid: str) -> Any:
        with state.node.database.read() as session:
            return find_member(session, state.node, federation, keyid)

    return look_up, ""


def _verify_evidence(
    state: State, data: bytes, find_member: FindMember, member_list: Path | None, anchor: str, *, as_json: bool
) -> None:
    """Say what an evidence file proves."""
    hub, members = _members(state, member_list)
    found = check_evidence(data, find_member, hub=hub, members=members)
    told = {"valid": True, "type": type(found).__name__.lower(), "anchor": anchor, **vars(found)}
    if as_json:
        print_json(told)
        return
    zh = not state.language.startswith("en")
    if isinstance(found, Contradiction):
        OUT.print("自相矛盾：同一位置签了两个编号" if zh else "A contradiction: two ids were signed for one place")
    else:
        OUT.print("见证成立：此时之前已在日志中" if zh else "Witnessed: it was in the log by then")
    for name, value in told.items():
        OUT.print(f"{name}: {value}", markup=False, highlight=False)


def _members(state: State, member_list: Path | None) -> tuple[str, set[str]]:
    """Return who the hub and the active members are, as the anchor says; nobody for a bare key."""
    if member_list is not None:
        return read_hub_and_members(_load(member_list).rstrip(b"\r\n"))
    if not state.config.exists():
        return "", set()
    from node.exchange.cosigning import active_members
    from node.stream.service import get_federation

    with state.node.database.read() as session:
        federation = get_federation(session, state.node)
        return federation.hub_id, active_members(session, state.node, federation)


def _load(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_EVIDENCE_BYTES + 3)
    except OSError as error:
        raise InputRefused("file-unreadable", f"读不到文件 {path}。", f"Cannot read {path}.") from error


def _result(evidence: Evidence, anchor: str, *, compared: bool) -> dict[str, Any]:
    return {
        "valid": True,
        "type": evidence.kind,
        "id": evidence.id,
        "signed_by": {"node": evidence.signer, "keyid": evidence.keyid, "fingerprint": evidence.fingerprint},
        "issued_at": evidence.statement["issued_at"],
        "content_sha256": evidence.content_sha256,
        "content_schema": evidence.content_schema,
        "statement": evidence.statement,
        "anchor": {"fingerprint": anchor, "compared": compared},
    }


def _show(result: dict[str, Any], language: str) -> None:
    zh = not language.startswith("en")
    head = result["statement"]
    audience = head.get("audience", {})
    whom = audience.get("readers") or audience.get("node") or head.get("record", {}).get("origin", "")
    lines = [
        ("签名有效" if zh else "Signature holds", result["type"]),
        ("编号" if zh else "Id", result["id"]),
        ("签名者" if zh else "Signed by", result["signed_by"]["node"] or head.get("origin", "")),
        ("密钥指纹" if zh else "Key fingerprint", result["signed_by"]["fingerprint"]),
        ("签发时间" if zh else "Issued at", result["issued_at"]),
        ("对象" if zh else "For", f"{audience.get('federation') or head.get('federation', '')} {whom}"),
    ]
    if result["content_schema"] == "sealed":
        lines.append(("内容" if zh else "What", "密封，未出示明文 / sealed, its plaintext was not shown"))
    elif result["content_schema"]:
        lines += [
            ("内容" if zh else "What", f"{head['kind']} {head['subject']} #{head['revision']}"),
            ("内容摘要" if zh else "Content digest", result["content_sha256"]),
            ("格式" if zh else "Schema", result["content_schema"]),
        ]
    for label, value in lines:
        OUT.print(f"{label}: {value}", markup=False, highlight=False)
    if not result["signed_by"]["node"]:
        OUT.print("公钥文件不说明密钥属于谁。" if zh else "A bare key does not say whose it is.")
    if (anchor := result["anchor"])["fingerprint"] and not anchor["compared"]:
        text = "请核对汇总节点密钥指纹" if zh else "Compare the fingerprint of the hub's key"
        OUT.print(f"{text}: {anchor['fingerprint']}", markup=False, highlight=False)

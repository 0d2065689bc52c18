"""`/api/v1/imports`: a roster in over HTTP, the same service as `gonghui data`.

POST /api/v1/imports                  file, as_of, complete, ... -> preview; nothing is written
POST /api/v1/imports/{id}/answers     what unknown columns and values mean -> preview
POST /api/v1/imports/{id}/confirm     {"known_at": of the preview} -> one transaction
POST /api/v1/imports/{id}/discard     the staged file is deleted
POST /api/v1/imports/{id}/undo        the whole import is taken back
"""

import json
from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from node.http.actor import ActorOf, NodeOf
from node.http.problems import ProblemRoute
from node.intake.models import ImportFile
from node.intake.reading import check_size
from node.members import roster
from node.members.answers import check_answers

router = APIRouter(prefix="/api/v1/imports", route_class=ProblemRoute, tags=["imports"])
Policy = Literal["ask", "refuse", "drop"]


class AnswersIn(BaseModel):
    """What columns and values of a file mean: header to field (or `drop`), and field to value to code."""

    model_config = ConfigDict(extra="forbid")
    columns: dict[str, str] = Field(default_factory=dict)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    unknown_columns: Policy = "ask"
    match_zeros: bool = False


class ConfirmIn(BaseModel):
    """What is confirmed: the preview at `known_at`; whether the absent have left, and why."""

    model_config = ConfigDict(extra="forbid")
    known_at: int
    leavers: Literal["keep", "confirm"] = "keep"
    leave_reason: Literal["RETIRE", "TRANSFER", "QUIT", "OTHER", "_U"] = "_U"


def _as_json(item: ImportFile) -> dict[str, Any]:
    return {
        "import": item.id,
        "file": item.file_name,
        "source": item.source,
        "as_of": item.as_of.isoformat(),
        "complete": item.complete,
        "state": item.state,
        "number": item.change_number,
        "summary": json.loads(item.summary),
    }


@router.get("")
def list_imports(node: NodeOf, actor: ActorOf) -> list[dict[str, Any]]:
    """List imports, newest first."""
    return [_as_json(item) for item in roster.list_imports(node, actor)]


@router.post("", status_code=201)
def stage(
    node: NodeOf,
    actor: ActorOf,
    file: Annotated[UploadFile, File()],
    as_of: Annotated[date, Form()],
    complete: Annotated[bool, Form()],
    source: Annotated[str, Form()] = "",
    unknown_columns: Annotated[Policy | None, Form()] = None,
) -> dict[str, Any]:
    """Stage a file and answer its preview; a file that cannot be read at all is not kept."""
    check_size(file.size or 0, node.settings.intake.max_bytes)
    answers = check_answers({}, {}, unknown_columns or node.settings.intake.unknown_columns)
    import_id = roster.stage(
        node,
        actor,
        file_name=file.filename or "roster",
        data=file.file.read(),
        as_of=as_of,
        complete=complete,
        source=source,
        answers=answers,
    )
    try:
        return roster.preview(node, actor, import_id).as_json()
    except Exception:
        roster.discard(node, actor, import_id)
        raise


@router.get("/{import_id}")
def preview(node: NodeOf, actor: ActorOf, import_id: str) -> dict[str, Any]:
    """Answer the preview of a staged file anew, else what is known of the import."""
    item = roster.get_import(node, actor, import_id)
    return roster.preview(node, actor, import_id).as_json() if item.state == roster.STAGED else _as_json(item)


@router.post("/{import_id}/answers")
def answer(node: NodeOf, actor: ActorOf, import_id: str, asked: AnswersIn) -> dict[str, Any]:
    """Keep answers about a staged file and answer its new preview."""
    answers = check_answers(asked.columns, asked.values, asked.unknown_columns, match_zeros=asked.match_zeros)
    roster.answer(node, actor, import_id, answers)
    return roster.preview(node, actor, import_id).as_json()


@router.post("/{import_id}/confirm")
def confirm(node: NodeOf, actor: ActorOf, import_id: str, asked: ConfirmIn) -> dict[str, Any]:
    """Write what was previewed, in one transaction."""
    reason = asked.leave_reason if asked.leavers == "confirm" else None
    done = roster.confirm_seen(node, actor, import_id, known_at=asked.known_at, all_left=reason)
    return {"import": import_id, "number": done.number, "counts": dict(done.counts), "left": done.left}


@router.post("/{import_id}/discard")
def discard(node: NodeOf, actor: ActorOf, import_id: str) -> dict[str, Any]:
    """Give up a staged file."""
    roster.discard(node, actor, import_id)
    return {"import": import_id, "state": roster.DISCARDED}


@router.post("/{import_id}/undo")
def undo(node: NodeOf, actor: ActorOf, import_id: str) -> dict[str, Any]:
    """Take a whole import back."""
    return {"import": import_id, "number": roster.undo(node, actor, import_id), "state": roster.UNDONE}

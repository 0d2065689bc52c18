"""Exact totals on screen: whether this node contributes, what that means, and what each round has opened."""

from fastapi import APIRouter, Request, Response

from federation.catalogue import load_catalogue, read_dims
from federation.errors import Conflict, GonghuiError, Text
from federation.statuses import EXACT, STATUSES, WITHHELD, legend, marked
from node.access.permissions import check_permission
from node.http.problems import status_of
from node.totals import service
from node.totals.words import CONSENT, STATES, UNOPENED
from node.web.pages import FormOf, PageRoute, page, see_other
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)
_KINDS = {"opened": "good", "spoiled": "bad", "refused": "warn", "destroyed": "warn"}


@router.get("/totals")
def show(request: Request, visitor: VisitorOf) -> Response:
    """Show every family of totals as this node sees it."""
    return _page(request, visitor)


@router.post("/totals/contribute")
def contribute(visitor: VisitorOf, form: FormOf) -> Response:
    """Contribute to a family's totals from now on, or no more."""
    service.consent(visitor.node, visitor.account, form.text("family"), on=form.text("on") == "1")
    return see_other("/totals", "total-consent")


@router.post("/totals/begin")
def begin(request: Request, visitor: VisitorOf, form: FormOf) -> Response:
    """Begin a period's total, as the hub."""
    check_permission(visitor.account, "total.begin")
    try:
        service.begin(visitor.node, visitor.account, form.text("family"), form.text("period").strip())
    except GonghuiError as error:
        return _page(request, visitor, error=error)
    return see_other("/totals", "total-begun")


def _page(request: Request, visitor: Visitor, *, error: GonghuiError | None = None) -> Response:
    check_permission(visitor.account, "indicator.read")
    try:
        families = service.overview(visitor.node, visitor.account)
        missing = None
    except Conflict as conflict:
        families, missing = [], conflict
    return page(
        request,
        "totals.html",
        200 if error is None else status_of(error),
        families=families,
        missing=missing,
        error=error,
        consent=CONSENT,
        states=STATES,
        kinds=_KINDS,
        unopened=UNOPENED,
        legend=legend([EXACT, WITHHELD]),
        marked=marked,
        exact=EXACT,
        withheld=STATUSES[WITHHELD].name,
        label=_label,
        table_of=lambda dims: "".join(read_dims(dims)),
        names=service.names_of(visitor.node) if families else {},
    )


def _label(code: str, dims: str) -> tuple[Text, Text]:
    """Return what a cell is called: its indicator, and its codes in words."""
    catalogue = load_catalogue()
    indicator = catalogue.get(code)
    named = [
        next(one.name for one in catalogue.dimension(indicator, letter).codes if one.code == value)
        for letter, value in read_dims(dims).items()
    ]
    whole = Text("合计", "total")
    return indicator.name, Text("、".join(n.zh for n in named), ", ".join(n.en for n in named)) if named else whole

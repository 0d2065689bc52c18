"""The page for staff: what this node holds about me, what of it leaves the school, how I see and correct it.

Nobody signs in for it, so it names kinds of data and no person.
"""

from fastapi import APIRouter, Request, Response

from node.members.held import list_held
from node.web.pages import PageRoute, page
from node.web.visitors import GuestOf

router = APIRouter(route_class=PageRoute)


@router.get("/my-data")
def my_data(request: Request, visitor: GuestOf) -> Response:
    """Tell it from the settings and the list of fields alone."""
    settings = visitor.node.settings
    return page(
        request,
        "my-data.html",
        fields=list_held(),
        least=settings.privacy.minimum_cell,
        contact=settings.privacy.contact,
        two_persons=settings.privacy.approval == "two-person",
        insiders=settings.privacy.insiders,
    )

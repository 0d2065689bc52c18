"""The FastAPI application of one node: exchange, API and pages."""

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from node.activities.api import api as notices
from node.activities.api import router as calendar
from node.context import Node
from node.exchange.api import router as exchange
from node.exchange.control import router as control
from node.exchange.membership_api import router as membership
from node.exchange.shared_api import router as shared
from node.handlers import HANDLERS
from node.http.problems import problem, told
from node.http.users import router as users
from node.indicators.api import router as releases
from node.members.api import router as imports
from node.totals.api import router as totals
from node.web import ROUTERS
from node.web.pages import HEADERS, error_page
from node.web.rounds import Rounds

_FOR_PROGRAMS = ("/api/", "/exchange/", "/.well-known/", "/calendar/")


def create_app(node: Node) -> FastAPI:
    """Return the application that serves `node`."""
    app = FastAPI(title="gonghui", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.node = node
    app.state.handlers = HANDLERS
    app.state.rounds = Rounds()
    programs = (exchange, membership, calendar, users, imports, notices, control, releases, shared, totals)
    for router in (*programs, *ROUTERS):
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refuse)
    return app


async def _refuse(request: Request, error: Exception) -> Response:
    """Answer for addresses that no route has taken: a problem to programs, a page to people."""
    if request.url.path.startswith(_FOR_PROGRAMS):
        return problem(told(error))
    response = await run_in_threadpool(error_page, request, told(error))
    response.headers.update(HEADERS)
    return response

"""The FastAPI application of one node."""

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from node.activities.api import api as notices
from node.activities.api import router as calendar
from node.context import Node
from node.exchange.api import router as exchange
from node.exchange.control import router as control
from node.exchange.shared_api import router as shared
from node.handlers import HANDLERS
from node.http.problems import problem, told
from node.http.users import router as users
from node.indicators.api import router as releases
from node.members.api import router as imports


def create_app(node: Node) -> FastAPI:
    """Return the application that serves `node`."""
    app = FastAPI(title="gonghui", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.node = node
    app.state.handlers = HANDLERS
    for router in (exchange, calendar, users, imports, notices, control, releases, shared):
        app.include_router(router)
    app.add_exception_handler(HTTPException, _refuse)
    return app


async def _refuse(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return problem(told(error))

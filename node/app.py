"""The FastAPI application of one node."""

from fastapi import FastAPI

from node.activities.api import router as calendar
from node.context import Node
from node.exchange.api import router as exchange
from node.handlers import HANDLERS


def create_app(node: Node) -> FastAPI:
    """Return the application that serves `node`."""
    app = FastAPI(title="gonghui", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.node = node
    app.state.handlers = HANDLERS
    app.include_router(exchange)
    app.include_router(calendar)
    return app

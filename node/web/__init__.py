"""Pages, rendered on the server; Chinese first, English by switch. One module a subject, each with its router."""

from fastapi import APIRouter

from node.web import home, imports, notices, pages, settings, signing, sync, users

ROUTERS: tuple[APIRouter, ...] = tuple(
    module.router for module in (pages, signing, home, imports, notices, sync, users, settings)
)

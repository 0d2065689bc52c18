"""Pages, rendered on the server; Chinese first, English by switch. One module a subject, each with its router."""

from fastapi import APIRouter

from node.web import board, home, imports, matrix, notices, pages, releases, settings, signing, sync, users

ROUTERS: tuple[APIRouter, ...] = tuple(
    module.router for module in (pages, signing, home, board, imports, releases, matrix, notices, sync, users, settings)
)

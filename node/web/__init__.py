"""Pages, rendered on the server; Chinese first, English by switch. One module a subject, each with its router."""

from fastapi import APIRouter

from node.web import (
    board,
    home,
    imports,
    matrix,
    mydata,
    notices,
    pages,
    peers,
    releases,
    settings,
    signing,
    sticks,
    sync,
    totals,
    trail,
    users,
)

_MODULES = (
    pages,
    signing,
    home,
    board,
    imports,
    releases,
    matrix,
    notices,
    totals,
    sync,
    sticks,
    peers,
    users,
    trail,
    settings,
    mydata,
)
ROUTERS: tuple[APIRouter, ...] = tuple(module.router for module in _MODULES)

"""How this node is set: for the administrator to look at. Settings change in the file."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.engine import make_url

from federation.keys import fingerprint
from node.access.permissions import check_permission
from node.config import sections
from node.web.pages import PageRoute, page
from node.web.visitors import Visitor, VisitorOf

router = APIRouter(route_class=PageRoute)


@router.get("/settings")
def settings(request: Request, visitor: VisitorOf) -> Response:
    """Show identity and settings."""
    check_permission(visitor.account, "audit.read")
    return page(
        request,
        "settings.html",
        fingerprint=fingerprint(visitor.node.signer.public_key),
        sections=_values(visitor),
    )


def _values(visitor: Visitor) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """Return section, title and keys; each key with its value, and whether that differs from the default."""
    english = visitor.language == "en"
    found = []
    for section, (title, keys) in sections().items():
        held = getattr(visitor.node.settings, section)
        rows = [
            {
                "name": key.path,
                "text": _side(key.description, english=english),
                "value": _shown(key.path, getattr(held, key.name)),
                "changed": getattr(held, key.name) != key.default,
            }
            for key in keys
        ]
        found.append((section, _side(title, english=english), rows))
    return found


def _side(text: str, *, english: bool) -> str:
    """Return one language of a description of the settings, which are written `中文 / English`."""
    chinese, _, other = text.partition("/ ")
    return other if english and other else chinese.rstrip()


def _shown(path: str, value: object) -> str:
    """Return a value without a password in it."""
    if path in {"database.url", "exchange.proxy"} and value:
        return make_url(str(value)).render_as_string(hide_password=True)
    return str(value)

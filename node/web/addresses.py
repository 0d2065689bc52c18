"""Where this node is for a browser: the configured address, else the one that this very request used."""

from fastapi import Request

from node.context import Node


def own_url(request: Request, node: Node) -> str:
    """Return scheme and host without a slash at the end, for links that people copy."""
    return (node.settings.server.public_url or str(request.base_url)).rstrip("/")

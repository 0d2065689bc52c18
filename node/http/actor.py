"""Who speaks, for the API: the node that answers, and the account whose token the request bears.

401 says that nobody knows who asks; 403, from the service, that this account may not.
"""

from typing import Annotated

from fastapi import Depends, Request

from federation.errors import NotPermitted
from node.access.permissions import Actor
from node.access.service import actor_of_secret
from node.context import Node


async def _node(request: Request) -> Node:
    """Return the node, as it speaks in `?federation=` where the caller says so."""
    node: Node = request.app.state.node
    return node.within(request.query_params.get("federation", ""))


NodeOf = Annotated[Node, Depends(_node)]


def _actor(request: Request, node: NodeOf) -> Actor:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotPermitted(
            "token-missing",
            "请求须带账号令牌：Authorization: Bearer 令牌（gonghui user token 可生成）。",
            "Send the account's token: `Authorization: Bearer TOKEN` (see `gonghui user token`).",
        )
    with node.database.read() as session:
        actor = actor_of_secret(session, token.strip())
    request.state.account_id = actor.account_id
    return actor


ActorOf = Annotated[Actor, Depends(_actor)]

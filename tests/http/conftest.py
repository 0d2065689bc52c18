"""One node with an account of every role, spoken to over HTTP without a socket."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from federation.keys import new_identifier
from node.access.models import Account
from node.access.permissions import ROLES
from node.access.service import digest_of
from node.app import create_app
from node.context import Node
from node.stream.models import Federation
from tests.transport import AppTransport

ROSTER = "工号,姓名,性别,出生日期,专业技术职务,入会时间\n" + "".join(
    f"{number:04},教工{number},{'男' if number % 2 else '女'},1980-01-02,讲师,2010-05-01\n" for number in range(1, 13)
)


@dataclass
class Api:
    """The node's API; `token` is by convention the role's name and `-token`."""

    node: Node
    client: httpx.Client
    said: list[str] = field(default_factory=list)

    def __call__(self, role: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {role}-token"} if role else {}
        answer = self.client.request(method, "/api/v1" + path, headers=headers, **options)
        self.said.append(answer.text)
        return answer

    def upload(self, role: str, text: str | bytes = ROSTER, **fields: Any) -> httpx.Response:
        data = {"as_of": "2026-09-30", "complete": "true", **fields}
        content = text.encode() if isinstance(text, str) else text
        return self(role, "POST", "/imports", data=data, files={"file": ("名册.csv", content)})


@pytest.fixture
def api(make_node: Callable[..., Node]) -> Iterator[Api]:
    node = make_node(intake={"max_bytes": 1_000_000})
    with node.database.write() as session:
        for role in ROLES:
            session.add(
                Account(
                    id=f"a-{role}",
                    name=role,
                    role=role,
                    token_digest=digest_of(f"{role}-token"),
                    created_at=node.clock(),
                )
            )
        session.add(Federation(id=new_identifier("f"), name="联合体", hub_id=node.node_id, joined_at=node.clock()))
    with httpx.Client(transport=AppTransport(create_app(node)), base_url="http://node") as client:
        yield Api(node, client)

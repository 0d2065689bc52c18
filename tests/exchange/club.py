"""A hub and colleges that know each other's sealing keys and groups, as a signed list would name them."""

from typing import Any

from federation.sealing import GROUP_KEY
from node.context import Node
from node.stream.listed import keep_listed
from node.stream.sealed import take_group_key

from .conftest import World

GROUP = "group:women"


class Club:
    def __init__(self, world: World) -> None:
        self.world = world
        self.nodes: list[Node] = [world.hub]
        self.groups: dict[str, str] = {}
        self.left: set[str] = set()
        self.version = 0
        self.documents: dict[str, bytes] = {}
        world.handlers[GROUP_KEY] = take_group_key

    def add(self, groups: str = "", **options: Any) -> Node:
        college = self.world.add_college(**options)
        self.nodes.append(college)
        self.groups[college.node_id] = groups
        self.refresh()
        return college

    def refresh(self) -> None:
        """Let everybody take the list as it is now."""
        self.version += 1
        for to in self.nodes:
            for other in self.nodes:
                status = "suspended" if other.node_id in self.left else "active"
                groups = self.groups.get(other.node_id, "")
                self.world.introduce(to, other, status, groups, other.sealing_key)
            self.list_documents(to)

    def list_documents(self, *nodes: Node, **changed: bytes) -> None:
        """Let these nodes take documents with the list (`grants_json=...`)."""
        self.documents |= {name.replace("_json", ".json"): data for name, data in changed.items()}
        for node in nodes or self.nodes:
            with node.database.write() as session:
                keep_listed(session, self.world.federation, self.version, self.documents)

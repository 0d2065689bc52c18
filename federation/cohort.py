"""The cohort of a family for one statistical year: who contributes, cut once into fixed blocks.

Only unions of whole blocks are ever opened. A block has at least LEAST contributors for whom the second body vouches
from its own register, so that the hub, which controls the member list, cannot fill one with inventions of its own. The
order in which contributors fall into blocks is a hash that neither aggregator chooses. Joiners wait for the next year
or until six make a block; leavers stay listed to the year's end, and their block is not opened without them.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from federation.documents import dump_document, sha256_hex
from federation.errors import Conflict, TrustError

LEAST = 6


@dataclass(frozen=True)
class Cohort:
    """Blocks of (node id -> key id), and for whom the second body vouches."""

    federation: str
    family: str
    year: str
    list_version: int
    aggregators: tuple[str, str]  # the hub, the second body
    blocks: tuple[Mapping[str, str], ...]
    vouched: frozenset[str]

    def as_content(self) -> dict[str, object]:
        """Return the one form that both aggregators sign."""
        return {
            "federation": self.federation,
            "family": self.family,
            "year": self.year,
            "list": self.list_version,
            "aggregators": list(self.aggregators),
            "blocks": [
                [{"node": node, "key": key, "vouched": node in self.vouched} for node, key in sorted(block.items())]
                for block in self.blocks
            ],
        }

    @property
    def digest(self) -> str:
        """Return the SHA-256 that every contribution names."""
        return sha256_hex(dump_document(self.as_content()))

    def block_of(self, node: str) -> int | None:
        """Return the number of the block a node is in."""
        return next((number for number, block in enumerate(self.blocks) if node in block), None)


def cut_blocks(
    keys: Mapping[str, str], vouched: Collection[str], *, federation: str, family: str, year: str
) -> tuple[dict[str, str], ...]:
    """Return blocks of at least LEAST vouched contributors each; raise Conflict where not even one can be made.

    Each gets as many vouched ones as any other, within one, and of the others too.
    """
    label = f"gonghui-cohort-v1\n{federation}\n{family}\n{year}\n"
    ordered = sorted(keys, key=lambda node: hashlib.sha256(f"{label}{node}".encode()).digest())
    known = [node for node in ordered if node in vouched]
    count = len(known) // LEAST
    if not count:
        raise Conflict(
            "cohort-too-small",
            f"另一方核实的参加节点只有 {len(known)} 个，不足 {LEAST} 个，不能组成统计组。",
            f"Only {len(known)} contributors are vouched for; a block needs {LEAST}.",
            vouched=len(known),
        )
    blocks: list[dict[str, str]] = [{} for _ in range(count)]
    for place, node in enumerate([*known, *(node for node in ordered if node not in vouched)]):
        blocks[place % count][node] = keys[node]
    return tuple(blocks)


def read_cohort(content: Mapping[str, Any]) -> Cohort:
    """Read what `as_content` wrote and its schema has settled; raise TrustError where its blocks break the rules."""
    raw = content["blocks"]
    blocks = tuple({item["node"]: item["key"] for item in block} for block in raw)
    vouched = frozenset(item["node"] for block in raw for item in block if item["vouched"])
    hub, second = content["aggregators"]
    cohort = Cohort(
        content["federation"],
        content["family"],
        content["year"],
        content["list"],
        (hub, second),
        blocks,
        vouched,
    )
    nodes = [node for block in blocks for node in block]
    keys = [key for block in blocks for key in block.values()]
    _check(hub != second, "the aggregators are one node", "两个汇总方是同一节点")
    _check(not {hub, second}.intersection(nodes), "an aggregator contributes itself", "汇总方自己也在组内")
    _check(
        len(set(nodes)) == len(nodes) == sum(map(len, raw)) and len(set(keys)) == len(keys),
        "a node or a key stands there twice",
        "有节点或密钥出现两次",
    )
    _check(
        all(len(vouched.intersection(block)) >= LEAST for block in blocks),
        f"a block has fewer than {LEAST} contributors that are vouched for",
        f"有的统计组经核实的节点不足 {LEAST} 个",
    )
    return cohort


def _check(held: bool, en: str, zh: str) -> None:  # noqa: FBT001
    if not held:
        raise TrustError("cohort-rules", f"统计组名册不合规则：{zh}。", f"The cohort breaks its rules: {en}.")

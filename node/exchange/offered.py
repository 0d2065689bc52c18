"""What a peer may know of the catalogue: the indicators of which the grants let it read anything, and at which level.

What it may not read is not told of, in no word and by no count. Where no grants are signed, the audiences of the
catalogue hold, as they do for the streams.
"""

from functools import cache
from typing import Any

from sqlmodel import Session

from federation.catalogue import Indicator, load_catalogue
from federation.grants import NODES, TOTALS, Grants, default_grants, read_grants
from federation.keys import Member
from node.stream.listed import find_grants


def list_offered(session: Session, member: Member) -> dict[str, Any]:
    """Return catalogue id, version and the indicators that `member` may read: the body of the answer to `catalogue`."""
    catalogue = load_catalogue()
    grants = find_grants(session, member.federation) or _by_audience()
    levels = {item.code: level_of(grants, member, item) for item in catalogue.indicators.values()}
    return {
        "catalogue": {"id": catalogue.id, "version": catalogue.version},
        "indicators": [
            _entry(item) | {"level": levels[item.code]} for item in catalogue.indicators.values() if levels[item.code]
        ],
    }


def level_of(grants: Grants, member: Member, indicator: Indicator) -> str:
    """Return at which level `member` may read an indicator: `nodes`, `totals`, or "" for not at all."""
    return next((level for level in (NODES, TOTALS) if grants.may_read(member, indicator.dataflow, level)), "")


@cache
def _by_audience() -> Grants:
    return read_grants(default_grants(load_catalogue()))


def _entry(indicator: Indicator) -> dict[str, Any]:
    return {
        "code": indicator.code,
        "name": indicator.name._asdict(),
        "unit": indicator.unit._asdict(),
        "dataflow": indicator.dataflow,
        "kind": indicator.kind,
        "frequencies": list(indicator.frequencies),
        "tables": ["".join(table) for table in indicator.released],
    }

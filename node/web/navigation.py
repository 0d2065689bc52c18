"""The menu: what an account may do has an entry, nothing else has. `prefixes` say on which pages an entry is lit."""

from dataclasses import dataclass

from federation.errors import Text
from node.web.visitors import Visitor


@dataclass(frozen=True)
class Entry:
    """One entry; shown to accounts that may do `action`, to all for ""."""

    path: str
    name: Text
    action: str
    prefixes: tuple[str, ...] = ()
    hub_only: bool = False


@dataclass(frozen=True)
class Link:
    """An entry as one visitor sees it on one page."""

    path: str
    name: Text
    lit: bool


ENTRIES = (
    Entry("/", Text("首页", "Home"), ""),
    Entry("/indicators", Text("共享指标", "Indicators"), "indicator.read", ("/indicators",)),
    Entry("/totals", Text("合计", "Totals"), "indicator.read", ("/totals",)),
    Entry("/imports", Text("数据导入", "Data"), "data.import", ("/imports",)),
    Entry("/releases", Text("发布", "Releases"), "release.prepare", ("/releases",)),
    Entry("/matrix", Text("报送情况", "Reports"), "matrix.read", ("/matrix",), hub_only=True),
    Entry("/notices", Text("活动通知", "Events"), "notice.read", ("/notices",)),
    Entry("/sync", Text("同步", "Sync"), "sync.read", ("/sync", "/sticks", "/peers")),
    Entry("/quarantine", Text("隔离区", "Quarantine"), "quarantine.read", ("/quarantine",)),
    Entry("/records", Text("条目", "Records"), "release.read", ("/records",)),
    Entry("/users", Text("账号", "Accounts"), "user.write", ("/users",)),
    Entry("/audit", Text("审计", "Audit"), "audit.read"),
    Entry("/settings", Text("设置", "Settings"), "audit.read"),
)


_OF_A_FEDERATION = ("/indicators", "/totals", "/sync", "/sticks", "/peers", "/quarantine", "/records")


def choices_of(visitor: Visitor, path: str) -> list[Link]:
    """Return the federations to choose from, on pages that speak of one; empty where the node is in one alone."""
    if not path.startswith(_OF_A_FEDERATION):
        return []
    chosen = visitor.node.federation
    return [Link(f"?federation={one}", Text(name, name), one == chosen) for one, name in visitor.federations]


def menu_of(visitor: Visitor, path: str) -> list[Link]:
    """Return the menu of a visitor; empty where nobody is signed in."""
    if visitor.actor is None:
        return []
    hub = visitor.node.settings.hub.enabled
    return [
        Link(entry.path, entry.name, path == entry.path or path.startswith(tuple(f"{p}/" for p in entry.prefixes)))
        for entry in ENTRIES
        if (not entry.action or visitor.may(entry.action)) and (hub or not entry.hub_only)
    ]

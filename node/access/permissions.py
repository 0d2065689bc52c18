"""Who may do what: permission = (role, action, scope). One table, read by page, API and command alike.

The node administrator runs the machine and sees no rows about persons. Every query for persons takes a scope; today
the only scope is the whole node.
"""

from dataclasses import dataclass

from federation.errors import NotPermitted

VIEWER, OFFICER, APPROVER, ANALYST, ADMIN = "viewer", "officer", "approver", "analyst", "admin"
ROLES = (VIEWER, OFFICER, APPROVER, ANALYST, ADMIN)
WHOLE_NODE = "node"

_READ = {"indicator.read", "notice.read", "sync.read"}
_PERMISSIONS: dict[str, frozenset[str]] = {
    VIEWER: frozenset(_READ),
    OFFICER: frozenset(
        _READ | {"person.read", "data.import", "release.prepare", "release.read", "notice.write", "quarantine.read"}
    ),
    APPROVER: frozenset(
        _READ
        | {
            "person.read",
            "release.read",
            "release.approve",
            "paper.write",
            "total.consent",
            "release.prepare",
            "notice.write",
            "quarantine.read",
        }
    ),
    ANALYST: frozenset(_READ | {"release.read", "review.write", "total.begin", "matrix.read", "quarantine.read"}),
    ADMIN: frozenset(
        _READ
        | {
            "user.write",
            "peer.write",
            "sync.run",
            "sync.reopen",
            "quarantine.read",
            "quarantine.retry",
            "audit.read",
            "key.write",
            "matrix.read",
            "paper.write",
            "total.begin",
            "total.vouch",
        }
    ),
}


@dataclass(frozen=True)
class Actor:
    """Who acts: an account in its role and scope."""

    account_id: str
    name: str
    role: str
    scope: str = WHOLE_NODE


SYSTEM = Actor("system", "system", ADMIN)  # the scheduler


def may(actor: Actor, action: str) -> bool:
    """Tell whether the actor's role includes the action."""
    return action in _PERMISSIONS.get(actor.role, frozenset())


def check_permission(actor: Actor, action: str) -> None:
    """Raise NotPermitted unless the actor may do `action`."""
    if not may(actor, action):
        raise NotPermitted(
            "not-permitted",
            f"账号 {actor.name}（角色 {actor.role}）无权执行 {action}。",
            f"Account {actor.name} (role {actor.role}) may not do {action}.",
            action=action,
        )

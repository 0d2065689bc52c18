"""What other parts may ask about the data of this node."""

from node.members.known import current_known_at

__all__ = ["current_known_at"]

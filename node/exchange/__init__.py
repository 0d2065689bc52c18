"""What comes from other nodes and what they make of it: inbox, sync, peers, shared figures, the hub."""

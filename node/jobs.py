"""The scheduler: what runs by itself, under a lease."""

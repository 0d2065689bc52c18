"""Three transports, the same bytes."""

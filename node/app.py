"""The FastAPI application of one node."""

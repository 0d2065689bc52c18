"""Staff and union membership: spells with valid and recorded time, imported, previewed, undone."""

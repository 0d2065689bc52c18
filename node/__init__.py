"""One node: it remembers, schedules and shows. Arrows between its parts point down only (import-linter)."""

"""Event notices: published, updated, cancelled, expired; seen by peers and in calendars."""

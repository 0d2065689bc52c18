"""Server-rendered pages. They only read services and call them; no rule lives here."""

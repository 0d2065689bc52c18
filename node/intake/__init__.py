"""Reading files: bytes to rows, headers to fields, values to codes, all errors at once."""

"""What may be said: JSON Schemas, code lists, the indicator catalogue. Data with one loader, no decisions."""

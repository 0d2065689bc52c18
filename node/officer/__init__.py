"""What officers do at their own machines: a key in a folder, drafts looked at and signed. No node is needed."""

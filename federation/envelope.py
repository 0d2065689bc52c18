"""DSSE envelopes over exact bytes, through securesystemslib."""

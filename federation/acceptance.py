"""The numbered steps in which a received record is believed, as a pure state machine."""

"""The gate: primary and complementary suppression over all linked tables of one release."""

"""Ratios against the bare operations they rest on; never part of the product."""

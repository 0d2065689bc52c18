"""`python -m node` is the command `gonghui`."""

from node.cli import main

main()

"""`python -m node` is the command `gonghui`.

Nothing is collected while the program is read: all of it stays, and looking for what does not costs a tenth of a start.
"""

import gc

gc.disable()

from node.cli import main  # noqa: E402

main()

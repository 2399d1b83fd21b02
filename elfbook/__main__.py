"""`python -m elfbook`: the same as the `elfbook` command."""

import sys

from elfbook.cli import main

sys.exit(main())

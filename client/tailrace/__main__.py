"""`python -m tailrace`: the command, where its script isn't on the PATH."""

import sys

from tailrace.cli import main

sys.exit(main())

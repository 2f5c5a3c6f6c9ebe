"""`python -m tailrace`: the command ``tailrace``, for shells that do not find it on the PATH."""

import sys

from tailrace.cli import main

sys.exit(main())

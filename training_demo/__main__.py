"""`python -m training_demo`."""

import sys

from training_demo.command import main

sys.exit(main())

"""`python -m lammps_jobs.calculations_demo`."""

import sys

from lammps_jobs.calculations_demo.command import main

sys.exit(main())

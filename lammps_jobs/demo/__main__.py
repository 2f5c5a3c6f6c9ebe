"""`python -m lammps_jobs.demo`."""

import sys

from lammps_jobs.demo.command import main

sys.exit(main())

"""`python -m lammps_jobs.bonds.demo`."""

import sys

from lammps_jobs.bonds.demo.command import main

sys.exit(main())

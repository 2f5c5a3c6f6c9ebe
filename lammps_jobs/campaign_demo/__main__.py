"""`python -m lammps_jobs.campaign_demo`."""

import sys

from lammps_jobs.campaign_demo.command import main

sys.exit(main())

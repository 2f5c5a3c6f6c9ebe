"""The server. Importing it comes before any arithmetic, so what that depends on is set here."""

import os

# How many threads share a sum decides the order of its additions, and so its last bits: a replay on a machine with
# another number of processors would differ. Requests have threads of their own, too.
for _name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

"""Programs for the machines that run LAMMPS: inputs, a log parser, job scripts, epilogues, sweeps, the demos.

They communicate with the server over HTTP only. In a checkout, they use the client in the directory ``client``.
"""

import os
import sys

_client = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "client")
if os.path.isdir(os.path.join(_client, "tailrace")) and _client not in sys.path:
    sys.path.insert(0, _client)

"""What runs where LAMMPS runs: inputs, a log parser, job scripts, an epilogue that reports, and the demo.

Everything here talks to the server over HTTP alone. In a checkout, the client beside this package is the one that is used.
"""

import os
import sys

_client = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "client")
if os.path.isdir(os.path.join(_client, "tailrace")) and _client not in sys.path:
    sys.path.insert(0, _client)

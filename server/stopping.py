"""What is known of this process's end, from its beginning on: a signal may come while the application is being loaded."""

import threading

STOPPING = threading.Event()
"""Set when this process is to end: its event streams end too, and their clients come back to another."""

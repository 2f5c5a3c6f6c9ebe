"""The flag that this process is stopping. It is a module of its own so that it can be set while the application loads."""

import threading

STOPPING = threading.Event()
"""Set when this process has to stop. Its event streams then end, and their clients reconnect to another process."""

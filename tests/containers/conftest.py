"""``make test-containers`` builds the images and runs what is here; ``make test``, which needs no podman, leaves it out."""

import os

collect_ignore_glob = [] if os.environ.get("TAILRACE_TEST_CONTAINERS") else ["test_*.py"]

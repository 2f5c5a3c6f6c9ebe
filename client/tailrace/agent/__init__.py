"""The agent: runs on a cluster, pulls steps of calculations from a server, and runs them through the site's scheduler."""

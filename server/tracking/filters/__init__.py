"""Filters of searches: MLflow's grammar, parsed by lark, and the queries that are made from it."""

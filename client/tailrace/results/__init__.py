"""Results of requests: predictions, metrics and listings, displayed by terminals and notebooks."""

"""Parts of an observation: JSON values, the texts that they were read from, idempotency keys."""

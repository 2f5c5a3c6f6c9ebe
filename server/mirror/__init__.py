"""Mirror: models in an MLflow or in W&B as they learn, by a process of its own."""

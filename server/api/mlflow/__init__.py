"""MLflow's REST API, so that MLflow's own clients work with this server: experiments, runs, artifacts, registry, logged models."""

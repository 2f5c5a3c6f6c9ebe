"""What a mirrored model brings along, so that MLflow can load it: files that are copied, not imported here."""

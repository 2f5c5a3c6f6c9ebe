"""Pictures of models' errors and predictions, drawn with matplotlib."""

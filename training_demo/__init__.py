"""The demo of tracking: a training that is killed and resumed, in Tailrace and in a real MLflow."""

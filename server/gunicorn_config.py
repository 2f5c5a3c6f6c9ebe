"""gunicorn's settings that are not the user's to choose."""

worker_class = "gthread"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None

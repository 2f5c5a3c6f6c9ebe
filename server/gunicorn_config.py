"""gunicorn's settings that are not the user's to choose."""

worker_class = "server.gunicorn_worker.Worker"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None
control_socket_disable = True

"""gunicorn's settings that are not the user's to choose."""

worker_class = "server.gunicorn_worker.Worker"
logger_class = "server.logs.GunicornLogger"
keepalive = 75
graceful_timeout = 30
timeout = 120
accesslog = None
access_log_format = '%(h)s "%(m)s %(U)s" %(s)s %(B)s %(M)sms'  # without the query, where a secret may stand
control_socket_disable = True
# A name with '_' could pass for the one with '-' that a proxy sets. The scheme is taken from a proxy by the application.
header_map = "refuse"
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

"""Serves moto's DynamoDB and S3 on a free port for the process that started this one:
prints its URL on one line, and lives as long as its standard input is open."""

import logging
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.ERROR)
moto = DomainDispatcherApplication(create_backend_app)
one_at_a_time = threading.Lock()


def app(environ, start_response):
    # moto judges a condition and writes in two steps, without a lock. DynamoDB
    # does it in one.
    with one_at_a_time:
        return moto(environ, start_response)


server = make_server("127.0.0.1", 0, app, threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"http://127.0.0.1:{server.server_port}", flush=True)
sys.stdin.read()
server.shutdown()

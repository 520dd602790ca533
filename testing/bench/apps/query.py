"""One query of 100 ms to PostgreSQL through psycopg2, on a connection that each thread keeps."""

import os
import sys
import threading

import psycopg2

DSN = os.environ["BENCH_DSN"]
BODY = b"queried"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
_local = threading.local()

if "gevent" in sys.modules and sys.modules["gevent"].monkey.is_module_patched("socket"):
    # psycopg2 is C, which gevent cannot patch: this is its users' way to make it wait in gevent's loop.
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()


def application(environ, start_response):
    connection = getattr(_local, "connection", None)
    if connection is None:
        connection = _local.connection = psycopg2.connect(DSN)
        connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("select pg_sleep(0.1)")
    start_response("200 OK", HEADERS)
    return [BODY]

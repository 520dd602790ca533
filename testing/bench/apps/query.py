"""One query of 100 ms to PostgreSQL through psycopg2, on a connection that is kept for later requests.

The connections are a list: as many as there were requests at a time. One per thread would be the same for servers that
keep their threads; gunicorn's gevent worker, with a greenlet per client, would have to connect again in every run.
"""

import os
import sys

import psycopg2

DSN = os.environ["BENCH_DSN"]
BODY = b"queried"
HEADERS = [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))]
_free = []

if "gevent" in sys.modules and sys.modules["gevent"].monkey.is_module_patched("socket"):
    # psycopg2 is C, which gevent cannot patch: this is its users' way to make it wait in gevent's loop.
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()


def _connect():
    connection = psycopg2.connect(DSN)
    connection.autocommit = True
    return connection


def application(environ, start_response):
    try:
        connection = _free.pop()
    except IndexError:
        connection = _connect()
    with connection.cursor() as cursor:
        cursor.execute("select pg_sleep(0.1)")
    _free.append(connection)
    start_response("200 OK", HEADERS)
    return [BODY]

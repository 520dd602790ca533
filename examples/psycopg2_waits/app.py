"""The same queries with three ways to wait for PostgreSQL; WAITS says which:

    suspend      psycopg2's set_wait_callback() with uwsgi.wait_fd_read(), wait_fd_write() and suspend()
    psycogreen   psycogreen, on engine gevent
    nothing      psycopg2 as it is; the default

    GET /?seconds=1    a query that takes a second
    GET /rows          many rows
    GET /error         a query that fails

DSN is psycopg2's, for example "host=127.0.0.1 dbname=postgres".
"""

import os
from urllib.parse import parse_qs

import psycopg2
from psycopg2 import extensions

DSN = os.environ.get("DSN", "dbname=postgres")
WAITS = os.environ.get("WAITS", "nothing")


def wait_by_suspend(connection):
    while True:
        state = connection.poll()
        if state == extensions.POLL_OK:
            return
        if state == extensions.POLL_READ:
            uwsgi.wait_fd_read(connection.fileno())
        elif state == extensions.POLL_WRITE:
            uwsgi.wait_fd_write(connection.fileno())
        else:
            raise psycopg2.OperationalError(f"poll() said {state}")
        uwsgi.suspend()


if WAITS == "suspend":
    import uwsgi

    extensions.set_wait_callback(wait_by_suspend)
elif WAITS == "psycogreen":
    from psycogreen.gevent import patch_psycopg

    patch_psycopg()
elif WAITS != "nothing":
    raise ValueError(f"WAITS is suspend, psycogreen or nothing, not {WAITS}")


def query(sql, *values):
    """The first row."""
    connection = psycopg2.connect(DSN)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchone()
    finally:
        connection.close()


def answer(environ):
    path = environ["PATH_INFO"]
    if path == "/rows":
        return query("select count(*), sum(length(text)) from (select repeat('x', 100) from generate_series(1, 50000))"
                     " as lines(text)")
    if path == "/error":
        return query("select no_such_column")
    seconds = float(parse_qs(environ["QUERY_STRING"]).get("seconds", ["0"])[0])
    return query("select 'slept', %s::float from pg_sleep(%s)", seconds, seconds)


def application(environ, start_response):
    try:
        body, status = repr(answer(environ)), "200 OK"
    except psycopg2.Error as error:
        body, status = f"{type(error).__name__}: {error.pgcode or error}", "500 Internal Server Error"
    start_response(status, [("Content-Type", "text/plain")])
    return [f"{body}\n".encode()]

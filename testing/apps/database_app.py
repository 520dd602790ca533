"""The drivers in C and in Python that applications use, each request with a connection of its own."""

import os

import MySQLdb
import psycopg2
import redis

from routes import Routes, as_json, plain

application = Routes()
_POSTGRES_DSN = os.environ["POSTGRES_DSN"]
_MARIADB_PORT = int(os.environ["MARIADB_PORT"])
_REDIS_PORT = int(os.environ["REDIS_PORT"])


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/psycopg2")
def run_psycopg2(environ, start_response):
    connection = psycopg2.connect(_POSTGRES_DSN)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_sleep(%s), pg_backend_pid()", (float(environ["QUERY_STRING"]),))
            return as_json(start_response, cursor.fetchone()[1])
    finally:
        connection.close()


@application.at("/psycopg2-rows")
def psycopg2_rows(environ, start_response):
    """More rows than any buffer on the way holds."""
    connection = psycopg2.connect(_POSTGRES_DSN)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select repeat('x', 1000) from generate_series(1, %s)", (int(environ["QUERY_STRING"]),))
            return as_json(start_response, sum(len(text) for (text,) in cursor))
    finally:
        connection.close()


@application.at("/psycopg2-lock")
def psycopg2_lock(environ, start_response):
    """Waits in the database for a row that another request has locked: a worker that stops here hangs for ever."""
    connection = psycopg2.connect(_POSTGRES_DSN)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(1)")
            cursor.execute("select pg_sleep(%s)", (float(environ["QUERY_STRING"]),))
    finally:
        connection.close()
    return plain(start_response, b"locked")


@application.at("/mysqlclient")
def mysqlclient(environ, start_response):
    connection = MySQLdb.connect(host="127.0.0.1", port=_MARIADB_PORT, user="greenring")
    try:
        cursor = connection.cursor()
        cursor.execute("select sleep(%s), connection_id()", (float(environ["QUERY_STRING"]),))
        return as_json(start_response, cursor.fetchone()[1])
    finally:
        connection.close()


@application.at("/redis-wait")
def redis_wait(environ, start_response):
    """BLPOP of the list ?NAME, for at most 30 s."""
    with redis.Redis("127.0.0.1", _REDIS_PORT) as client:
        return plain(start_response, client.blpop(environ["QUERY_STRING"], timeout=30)[1])


@application.at("/redis-timeout")
def redis_timeout(environ, start_response):
    with redis.Redis("127.0.0.1", _REDIS_PORT) as client:
        return as_json(start_response, client.blpop("never", timeout=float(environ["QUERY_STRING"])))


@application.at("/redis-push")
def redis_push(environ, start_response):
    """Each line of the body to the list ?NAME."""
    lines = environ["wsgi.input"].read().splitlines()
    with redis.Redis("127.0.0.1", _REDIS_PORT) as client:
        client.rpush(environ["QUERY_STRING"], *lines)
    return plain(start_response, b"pushed")

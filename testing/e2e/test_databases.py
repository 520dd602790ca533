"""Unmodified database drivers, in C and in Python, against real servers."""

import json

from case import on_each_engine
from components import MariaDb, Postgres, Redis
from overlap import OverlapCase

CORES = 64
DJANGO_CORES = 10

_postgres, _mariadb, _redis = Postgres(), MariaDb(), Redis()


def setUpModule():
    for daemon in (_postgres, _mariadb, _redis):
        daemon.start()


def tearDownModule():
    for daemon in (_postgres, _mariadb, _redis):
        daemon.stop()


class DatabaseCase(OverlapCase):
    app = "database_app"
    flags = (f"--async_cores={CORES}",)
    late_s_max = 10.0  # PostgreSQL begins a process for each of fifty connections

    @classmethod
    def environment(cls):
        return {"POSTGRES_DSN": _postgres.dsn, "MARIADB_PORT": str(_mariadb.port), "REDIS_PORT": str(_redis.port)}


@on_each_engine
class Psycopg2(DatabaseCase):
    def test_queries_overlap(self):
        backends = self.assert_overlap_json(["/psycopg2?0.5"] * 50, 0.5)
        self.assertEqual(len(set(backends)), 50)

    def test_long_results_arrive_whole(self):
        self.assertEqual(self.read_all(self.send_all(["/psycopg2-rows?5000"] * 5)), [b"5000000"] * 5)

    def test_a_lock_in_the_database_is_waited_for_and_hangs_nobody(self):
        self.assertEqual(self.read_all(self.send_all(["/psycopg2-lock?0.02"] * 10)), [b"locked"] * 10)


class MySqlClient(DatabaseCase):
    def test_queries_overlap(self):
        connections = self.assert_overlap_json(["/mysqlclient?0.5"] * 30, 0.5)
        self.assertEqual(len(set(connections)), 30)


class RedisPy(DatabaseCase):
    def test_blpop_waits_for_what_another_request_pushes(self):
        waiting = self.send_all(["/redis-wait?jobs"] * 30)
        self.assert_still_parked(waiting)
        with self.server.connect() as connection:
            connection.post("/redis-push?jobs", b"\n".join(b"job %02d" % number for number in range(30)))
        self.assertEqual(sorted(self.read_all(waiting)), [b"job %02d" % number for number in range(30)])

    def test_blpop_times_out(self):
        self.assertEqual(self.assert_overlap_json(["/redis-timeout?0.5"] * 30, 0.5), [None] * 30)


class DjangoOrm(OverlapCase):
    """More requests than cores: each core has one connection, which Django keeps."""

    app = "django_database_app"
    flags = (f"--async_cores={DJANGO_CORES}",)
    kept_fds = DJANGO_CORES

    @classmethod
    def environment(cls):
        return {"DJANGO_DATABASE": json.dumps(_postgres.settings)}

    def test_connections_are_one_per_core_and_are_used_again(self):
        backends = set()
        for _ in range(3):
            backends |= set(self.assert_overlap_json(["/sleep?0.3"] * DJANGO_CORES, 0.3))
        backends |= {json.loads(body) for body in self.read_all(self.send_all(["/sleep?0.05"] * 4 * DJANGO_CORES))}
        self.assertEqual(len(backends), DJANGO_CORES)
        self.assertEqual(_postgres.connection_count(), DJANGO_CORES)

    def test_a_row_that_a_transaction_has_locked_is_waited_for(self):
        before = self.json("/roll-back")
        values = [int(body) for body in self.read_all(self.send_all(["/add"] * 3 * DJANGO_CORES))]
        self.assertEqual(sorted(values), list(range(before + 1, before + 1 + 3 * DJANGO_CORES)))
        self.assertEqual(self.json("/roll-back"), values and max(values))

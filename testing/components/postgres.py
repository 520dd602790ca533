"""A PostgreSQL cluster with one superuser and no passwords."""

import pathlib
import signal

from components.daemon import Daemon

USER = "greenring"


class Postgres(Daemon):
    """`dsn` is for psycopg2, `settings` for Django. Nothing it writes is forced to the disk."""

    stop_signal = signal.SIGINT  # "fast": open connections are closed, not waited for

    def __init__(self, connections_max=200):
        super().__init__()
        self._connections_max = connections_max
        self._monitor = None

    @property
    def dsn(self):
        return f"host=127.0.0.1 port={self.port} user={USER} dbname=postgres"

    @property
    def settings(self):
        return {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": self.port, "USER": USER,
                "NAME": "postgres"}

    def prepare(self):
        self.run(_program("initdb"), "--pgdata=data", "--auth=trust", f"--username={USER}", "--no-sync", "--locale=C",
                 "--encoding=UTF8")

    def command(self):
        settings = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": self.directory,
            "max_connections": self._connections_max, "shared_buffers": "32MB", "fsync": "off", "autovacuum": "off",
            "max_wal_senders": 0, "wal_level": "minimal", "jit": "off",
        }  # fmt: skip
        return [_program("postgres"), "-D", "data"] + [f"--{name}={value}" for name, value in settings.items()]

    def answers(self):
        return self.connection_count() >= 0

    def stop(self):
        if self._monitor is not None:
            self._monitor.close()
            self._monitor = None
        super().stop()

    def connection_count(self):
        """How many clients are connected, this question's own connection left out."""
        return self._ask("select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'")

    def query_count(self):
        """How many queries run, this one left out."""
        return self._ask("select count(*) - 1 from pg_stat_activity where backend_type = 'client backend'"
                         " and state = 'active'")

    def _ask(self, query):
        import psycopg2  # here, so that a benchmark without PostgreSQL does not need it

        if self._monitor is None:
            self._monitor = psycopg2.connect(self.dsn)
            self._monitor.autocommit = True
        with self._monitor.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]


def _program(name):
    """Debian keeps the server's programs beside the version's number, not on the PATH."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise RuntimeError(f"{name} is not installed: apt-get install postgresql")
    return found[-1]

"""Real databases and servers of the machine's own, for tests and benchmarks: each in a directory that goes with it.

    with Postgres() as postgres:
        psycopg2.connect(postgres.dsn)

Every one listens on a free port of the loopback interface only, keeps its files in a temporary directory, runs as an
unprivileged user where this process is root, and ends with the context, or when this process dies.
"""

from components.dns import SlowDns
from components.mariadb import MariaDb
from components.nginx import Nginx
from components.page import SlowPage
from components.postgres import Postgres
from components.redis import Redis

__all__ = ("MariaDb", "Nginx", "Postgres", "Redis", "SlowDns", "SlowPage")

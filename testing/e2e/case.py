"""Test cases that share one running server.

    @on_each_engine
    class Greeting(ServerCase):
        app = "response_app"

        def test_says_hello(self):
            self.assertEqual(self.connect().get("/hello").body, b"hello")

The server starts before the first test of the class and is drained after the last one: exit code 0, a stderr without
surprises, and no file descriptor more than it had when it became ready.
"""

import sys
import unittest

from fixture import ENGINES, Server, eventually


def on_each_engine(cls):
    """Replaces the class by one subclass per engine, named Class_engine."""
    module = sys.modules[cls.__module__]
    for engine in ENGINES:
        name = f"{cls.__name__}_{engine}"
        setattr(module, name, type(name, (cls,), {"engine": engine, "__module__": cls.__module__}))
    return None


class ServerCase(unittest.TestCase):
    """Base of tests against `app`, started with `flags`."""

    app = None
    flags = ()
    engine = "ucontext"
    usual = ()  # patterns of lines that the tests of this class make the server log
    prefix = ()  # a program that starts the server, and its arguments
    kept_fds = 0  # how many descriptors the application may keep open between requests: database connections
    server = None

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.app, *cls.flags, engine=cls.engine, usual=cls.usual, env=cls.environment(),
                            prefix=cls.prefix).start()
        cls.addClassCleanup(lambda: cls.server.process.poll() is None and cls.server.kill())
        with cls.server.connect() as connection:  # what is opened once, at the first request, is no leak
            connection.get("/")
            connected = cls.server.fd_count()
        eventually(lambda: cls.server.fd_count() < connected, "the first connection to be closed")
        cls._fd_count = connected - 1

    @classmethod
    def environment(cls):
        """Variables for the server: asked for when it starts, so they may name what setUpModule has started."""
        return {}

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def setUp(self):
        self.addCleanup(self.assert_no_fd_leak)  # the first cleanup runs last: after the connections are closed

    def connect(self, **options):
        """A connection that is closed when the test ends."""
        connection = self.server.connect(**options)
        self.addCleanup(connection.close)
        return connection

    def request(self, *args, **kwargs):
        """One request on a connection of its own."""
        with self.server.connect() as connection:
            return connection.request(*args, **kwargs)

    def expect_log(self, pattern):
        return self.server.log.expect(pattern)

    def assert_no_fd_leak(self):
        """Every connection of this test that is closed by now must be closed in the server too."""
        most = self._fd_count + self.kept_fds
        eventually(lambda: self.server.fd_count() <= most, f"{most} open descriptors again")

    def assert_alive(self):
        self.assertEqual(self.request("GET", "/").status, 200)

"""C code without end on a hub: the stack that all its requests share is lost; they end, and the worker is replaced."""

import shutil
import time
import unittest

import test_overflow
from fixture import Server, eventually
from master import MasterCase

ENGINES = ("greenlet", "gevent")
SAID = (r"stack overflow: ", r"\] stacks: ", r"is lost", r"^Stack", r"^ ", r"^$")


def setUpModule():
    test_overflow.setUpModule()


@unittest.skipUnless(shutil.which("gcc") or shutil.which("cc"), "no C compiler")
class HubOverflow(MasterCase):
    def environment(self):
        return {"OVERFLOW_LIBRARY": test_overflow._library}

    def test_every_request_of_the_hub_is_answered_at_once_and_the_worker_ends(self):
        for engine in ENGINES:
            for kind in ("gil", "nogil"):
                with self.subTest(engine=engine, kind=kind):
                    server = Server("overflow_app", engine=engine, env=self.environment(), usual=SAID).start()
                    self.addCleanup(lambda server=server: server.process.poll() is None and server.kill())
                    begin_s = time.monotonic()
                    waiting = [server.connect() for _ in range(4)]
                    for connection in waiting[:3]:  # in the hub
                        connection.send_request("GET", "/pause?60")
                    waiting[3].send_request("POST", "/read", [("Content-Length", "100")])  # for its client
                    with server.connect() as connection:
                        self.assertEqual(connection.get("/pause?0.2").body, b"paused")
                        connection.send_request("GET", f"/lost?{kind}")
                        self.assertEqual(connection.read_response().status, 500)
                    for connection in waiting:
                        self.assertEqual(connection.read_response().status, 500)
                        connection.close()
                    self.assertEqual(server.wait(), test_overflow.EXIT_UNFIT)
                    self.assertLess(time.monotonic() - begin_s, 25, "the drain's time is not waited for")
                    self.assertEqual(len([line for line in server.log.lines if "the request is lost" in line]), 5)
                    server.log.expect("in _recurse_in_c")

    def test_the_worker_is_replaced(self):
        for engine in ENGINES:
            with self.subTest(engine), self.master(app="overflow_app", engine=engine, env=self.environment(),
                                                   usual=SAID) as server:
                before, = server.workers()
                with server.connect() as connection:
                    self.assertEqual(connection.get("/lost?gil").status, 500)
                eventually(lambda: [one.pid for one in server.workers() if one.state == one.READY and
                                    one.pid != before.pid], "another worker")
                with server.connect() as connection:
                    self.assertEqual(connection.get("/pause?0.1").body, b"paused")


if __name__ == "__main__":
    unittest.main()

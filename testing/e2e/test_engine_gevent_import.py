"""Engine `gevent`: what the application has begun while it was imported goes on in the workers' hub."""

import json
import os
import socket
import time
import unittest

from case import ServerCase
from fixture import Server, eventually


class Import(ServerCase):
    app = "hub_import_app"
    engine = "gevent"
    flags = ("--async_cores=8",)
    usual = (r"^the ticks have ended$",)

    def told(self):
        return json.loads(self.request("GET", "/").body)

    def test_its_greenlets_run_before_any_request(self):
        time.sleep(0.5)
        self.assertGreater(self.told()["ticks"], 2)

    def test_its_timers_run(self):
        eventually(lambda: self.told()["later"] == ["spawned later"], "the one that was spawned for later")

    def test_its_sockets_are_served(self):
        with socket.create_connection(("127.0.0.1", self.told()["port"]), 20) as connection:
            connection.sendall(b"hello")
            self.assertEqual(connection.recv(100), b"echo hello")

    def test_its_pools_and_locks_are_the_requests_too(self):
        self.assertEqual(self.request("GET", "/pool").body, b"joined")

    def test_child_processes_are_watched(self):
        self.assertEqual(self.request("GET", "/subprocess").body, b"from a child\n")


class PatchedImport(Import):
    flags = ("--async_cores=8", "--gevent_monkey_patch")


class End(unittest.TestCase):
    def test_what_the_import_has_begun_does_not_hold_up_a_drain(self):
        with Server("hub_import_app", "--drain_timeout=60s", engine="gevent", usual=Import.usual) as server:
            connection = server.connect()
            self.assertEqual(connection.get("/").status, 200)
            connection.close()
            begin_s = time.monotonic()
            server.terminate()
            self.assertEqual(server.wait(), 0)
            self.assertLess(time.monotonic() - begin_s, 20)
            server.log.expect("the ticks have ended")


class ImportThatWaits(unittest.TestCase):
    def test_what_has_begun_is_told_and_the_rest_runs(self):
        usual = (r"greenlets that have begun while the application was imported cannot go on.*begun", *Import.usual)
        env = {**os.environ, "IMPORT_WAITS": "1"}
        with Server("hub_import_app", engine="gevent", env=env, usual=usual) as server:
            server.log.expect(r"cannot go on.*begun")
            connection = server.connect()
            eventually(lambda: json.loads(connection.get("/").body)["later"] == ["spawned later"], "a timer")
            self.assertEqual(connection.get("/subprocess").body, b"from a child\n")
            connection.close()


if __name__ == "__main__":
    unittest.main()

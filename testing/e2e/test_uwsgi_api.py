"""Programs for uWSGI's async mode: the module `uwsgi` in a real server, on each engine whose cores are threads."""

import errno
import json
import os
import re
import shutil
import sys
import tempfile
import time
import unittest

from fixture import APPS, ENGINES, Server, eventually, run_to_exit
from overlap import OverlapCase


def on_each_engine(cls):
    """Also on engine `thread`."""
    module = sys.modules[__name__]
    for engine in (*ENGINES, "thread"):
        name = f"{cls.__name__}_{engine}"
        setattr(module, name, type(name, (cls,), {"engine": engine, "__module__": __name__}))


class UwsgiCase(OverlapCase):
    app = "uwsgi_api_app"
    flags = ("--uwsgi_api", "--uwsgi_opt=home=/srv", "--uwsgi_opt=strict", "--async_cores=64")
    usual = (r"atexit was called",)


@on_each_engine
class Waiting(UwsgiCase):
    def test_sleeps_have_fractions_and_overlap(self):
        self.assertEqual(self.assert_overlap(["/sleep?0.4"] * 30, 0.4, threads_more_max=64), [b"-1"] * 30)

    def test_a_sleep_of_nothing_yields(self):
        self.assertEqual(self.request("GET", "/sleep?0").body, b"-1")

    def test_no_timeout_is_left_for_the_next_wait(self):
        connection = self.connect()
        connection.send_request("POST", "/sleep-and-read", [("Content-Length", "4")])
        time.sleep(0.3)  # the sleep is over, and the application waits for the body
        connection.send(b"body")
        self.assertEqual(connection.read_response().body, b"body")

    def test_bare_suspends_let_requests_take_turns(self):
        bodies = self.read_all(self.send_all(["/take-turns?200", "/take-turns?200"]))
        steps = max(map(json.loads, bodies), key=len)
        self.assertEqual(steps, steps[:2] * 200)
        self.assertNotEqual(steps[0], steps[1])

    def test_a_descriptor_ends_the_wait(self):
        directory = tempfile.mkdtemp(prefix="greenring-e2e-")
        self.addCleanup(shutil.rmtree, directory)
        path = os.path.join(directory, "fifo")
        os.mkfifo(path)
        waiting = self.connect()
        waiting.send_request("GET", f"/wait-fifo?{path},30")
        self.assert_alive()
        with open(path, "wb", buffering=0) as fifo:
            fifo.write(b"something")
            self.assertEqual(json.loads(waiting.read_response().body), [True, True, "something"])
        with open(path, "r+b", buffering=0):  # nothing comes
            began = time.monotonic()
            self.assertEqual(self.json(f"/wait-fifo?{path},0.3"), [True, False, ""])
            self.assertGreaterEqual(time.monotonic() - began, 0.3)

    def test_one_of_two_descriptors_ends_the_wait(self):
        self.assertIs(self.json("/wait-two"), True)

    def test_a_wrong_descriptor_is_an_error_of_its_request(self):
        self.assertEqual(self.json("/wait-wrong"), [errno.EBADF] * 3)

    def test_the_server_waits_between_two_items(self):
        self.assertEqual(self.request("GET", "/yield-waits").body, b"True None None True")


@on_each_engine
class Sockets(UwsgiCase):
    def test_connections_are_made_used_and_refused(self):
        self.assertEqual(self.json("/connect"), [True, True, True, "ov", True, -1, -1, -1])

    def test_chunks_come_as_they_were_sent(self):
        connection = self.connect()
        connection.send_request("POST", "/chunks", [("Transfer-Encoding", "chunked")])
        self.assertEqual(connection.read_head().status, 200)
        self.assertEqual(connection.read_chunk(), b"None\n")
        connection.send(b"5\r\nwh")
        connection.send(b"ole\r\n")
        self.assertEqual(connection.read_chunk(), b"whole\n")
        connection.send(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        self.assertEqual([connection.read_chunk() for _ in range(4)], [b"one\n", b"two\n", b"b''", b""])

    def test_a_chunk_that_does_not_come_is_a_timeout(self):
        connection = self.connect()
        connection.send_request("POST", "/chunk-timeout", [("Transfer-Encoding", "chunked")])
        response = connection.read_response()
        self.assertEqual(response.body, b"TimeoutError")

    def test_the_handler_goes_on_after_a_disconnect(self):
        connection = self.connect()
        connection.send_request("GET", "/disconnect")
        connection.read_head()
        self.assertEqual([connection.read_chunk(), connection.read_chunk()], [b"all there is", b""])
        connection.expect_close()
        self.assertNotIn("went on", self.server.log.text())
        self.expect_log("went on after the disconnect")

    def test_a_response_without_a_body_is_complete_at_a_disconnect(self):
        connection = self.connect()
        connection.send_request("GET", "/disconnect-at-once")
        self.assertEqual(connection.read_response().body, b"")
        connection.expect_close()

    def test_the_client_s_descriptor_tells_of_its_end(self):
        connection = self.connect()
        connection.send_request("GET", "/client")
        self.assert_alive()
        connection.close()
        self.expect_log("the client is gone: True")
        self.assert_alive()


@on_each_engine
class Telling(UwsgiCase):
    def test_what_the_worker_is(self):
        told = self.json("/getters")
        self.assertEqual(told.pop("imported"), {"ready": None, "worker": 1, "post_fork_hook": True})
        self.assertEqual(told.pop("opt"), {
            "enable-threads": "True", "lazy-apps": "True", "processes": "b'1'", "async": "b'64'", "home": "b'/srv'",
            "strict": "True"})
        self.assertGreaterEqual(told.pop("requests"), 1)
        self.assertGreaterEqual(told.pop("after"), 1)
        self.assertEqual(told, {
            "ready": True, "worker_id": 1, "masterpid": 0, "numproc": 1, "cores": 64, "memory": True,
            "workers": [[1, True, "busy"]], "env": True, "queue": 0, "cl": 0, "reload": None, "version": [True, True]})
        self.expect_log(r"uwsgi\.reload\(\): there is no master")

    def test_a_deadline_of_the_request_s_own(self):
        self.assertEqual(self.request("GET", "/harakiri?cleared").body, b"slept")
        self.assertEqual(self.request("GET", "/harakiri").status, 504)
        self.expect_log(r"RequestTimeout: it took more than 0\.3")

    def test_what_is_not_there_says_so(self):
        message, has_cache, has_websockets = self.json("/absent")
        self.assertRegex(message, r"uwsgi\.cache_get is not there; .*Redis")
        self.assertFalse(has_cache or has_websockets)


class AccessLog(UwsgiCase):
    flags = (*UwsgiCase.flags, "--access_log=-")

    def test_variables_are_in_the_access_log(self):
        self.assertEqual(self.request("GET", "/logvar").body, b"[b'anna', None]")
        self.request("GET", "/")
        eventually(lambda: "GET / " in self.server.stdout(), "the next line")
        lines = self.server.stdout().splitlines()
        self.assertTrue(any(re.search(r'GET /logvar .* user="anna" plan="gold"$', line) for line in lines), lines)
        self.assertTrue(lines[-1].endswith('"-"'), lines[-1])


class Hooks(unittest.TestCase):
    def test_atexit_is_called_at_a_clean_end(self):
        with Server("uwsgi_api_app", "--uwsgi_api", usual=UwsgiCase.usual) as server, server.connect() as connection:
            self.assertEqual(connection.get("/").body, b"hello")
            self.assertNotIn("atexit", server.log.text())
        self.assertIn("atexit was called", server.log.text())

    def test_without_the_flag_there_is_no_module(self):
        code, _, error = run_to_exit("--app=uwsgi_api_app", f"--chdir={APPS}", "--http=127.0.0.1:0")
        self.assertNotEqual(code, 0)
        self.assertIn("No module named 'uwsgi'", error)
        self.assertIn("--uwsgi_api", error)

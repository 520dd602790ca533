"""--audit names what blocks the loop's thread: library, function, Python line, how often and how long."""

import collections
import json
import os
import shutil
import subprocess
import sysconfig
import tempfile
import unittest

from case import ServerCase
from fixture import APPS, Server, eventually
from overlap import OverlapCase

Record = collections.namedtuple("Record", "kind library function line stack times total_s longest_s")

_directory = tempfile.TemporaryDirectory()


def setUpModule():
    """Builds the extension that blocks, for the Python that the server has: the one that runs this."""
    include = sysconfig.get_path("include")
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not os.path.exists(os.path.join(include, "Python.h")):
        raise unittest.SkipTest("no C compiler, or no Python.h")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-I", include, os.path.join(APPS, "blocking_extension.c"),
                    "-o", os.path.join(_directory.name, "blocking.so")], check=True)


class AuditCase(OverlapCase):
    app = "audited_app"
    flags = ("--audit",)
    usual = (r"audit: ", r"^  ")

    @classmethod
    def environment(cls):
        return {"PYTHONPATH": _directory.name}

    def report(self):
        return [Record(*record) for record in self.json("/report")]

    def record_of(self, kind, count=1):
        """The only one of its kind, once it has been seen so often: the watcher sees an end a little later."""
        def is_there():
            found = [record for record in self.report() if record.kind == kind]
            return found if sum(record.times for record in found) >= count else None
        found = eventually(is_there, f"{count} times {kind}")
        self.assertEqual([record.times for record in found], [count], found)
        return found[0]


class Blocking(AuditCase):
    def assert_names_the_call(self, target, kind, function, least_s):
        for _ in range(3):
            self.assertEqual(self.request("GET", target).body, b"blocked")
        record = self.record_of(kind, count=3)
        self.assertEqual(record.library, os.path.join(_directory.name, "blocking.so"))
        self.assertEqual(record.function, function)
        self.assertRegex(record.line, r'^File ".*audited_app.py", line \d+, in call_blocking$')
        self.assertIn("in call_blocking", record.stack)
        self.assertGreater(record.total_s, 3 * least_s)
        self.assertGreater(record.longest_s, least_s)
        self.assertLess(record.longest_s, record.total_s)

    def test_a_system_call_that_the_server_does_not_answer(self):
        self.assert_names_the_call("/blocking/sleep_without_gil?0.1", "system call nanosleep without the GIL",
                                   "blocking_sleep_raw", 0.09)

    def test_a_system_call_with_the_gil(self):
        self.assert_names_the_call("/blocking/sleep_with_gil?0.1", "system call nanosleep with the GIL",
                                   "blocking_sleep_raw", 0.09)

    def test_c_code_that_computes_without_the_gil(self):
        self.assert_names_the_call("/blocking/compute_without_gil?0.15", "C code that computes without the GIL",
                                   "blocking_compute", 0.1)

    def test_c_code_that_computes_with_the_gil(self):
        self.assert_names_the_call("/blocking/compute_with_gil?0.2", "C code that computes with the GIL",
                                   "blocking_compute", 0.15)

    def test_an_os_thread_that_keeps_the_gil(self):
        self.request("GET", "/other-thread?0.3")
        record = self.record_of("waiting for the GIL, which another OS thread has")
        self.assertGreater(record.longest_s, 0.1)


class Libraries(AuditCase):
    def test_a_hash_of_much(self):
        self.request("GET", "/hash")
        record = self.record_of("C code that computes without the GIL")
        self.assertIn("libcrypto", record.library)
        self.assertIn("in hash_", record.line)


class Summaries(unittest.TestCase):
    def serve(self, *flags):
        server = Server("audited_app", *flags, env={"PYTHONPATH": _directory.name}).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def test_a_well_behaved_application_is_green_safe(self):
        server = self.serve("--audit", "--audit_threshold=50ms")
        connections = [server.connect() for _ in range(4)]
        for connection in connections:
            connection.send_request("GET", "/well-behaved")
        for connection in connections:
            self.assertEqual(connection.read_response().body, b"behaved")
            connection.close()
        server.terminate()
        server.log.expect(r"audit: green-safe so far: nothing blocked the loop for 50 ms$")
        server.stop()

    def test_the_exit_tells_what_blocked(self):
        server = self.serve("--audit")
        with server.connect() as connection:
            connection.get("/blocking/sleep_without_gil?0.1")
        server.terminate()
        server.log.expect(r"audit: the loop was blocked for 10 ms and more, at 1 places:$")
        server.log.expect(r"^  1 times, \d+ ms in all, \d+ ms at most: system call nanosleep without the GIL, in "
                          r".*/blocking.so, blocking_sleep_raw$")
        server.log.expect(r'^    File ".*audited_app.py", line \d+, in call_blocking$')
        server.stop()


class Off(ServerCase):
    app = "audited_app"

    def test_the_report_says_how_to_turn_it_on(self):
        self.assertEqual(self.request("GET", "/off").body, b"the audit is off: start the server with --audit")

    def test_there_is_no_thread_for_it(self):
        self.assertNotIn("greenring-audit", self.server.os_threads())

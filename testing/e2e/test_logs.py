"""The access log in combined format, and the error log."""

import os
import re
import tempfile
import unittest

from fixture import APPS, Server, run_to_exit
from wire import request_bytes

COMBINED = re.compile(r'(\S+) - (\S+) \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] '
                      r'"(.*)" (\d{3}) (\d+|-) "(.*)" "(.*)"')


class Logs(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.access_log = os.path.join(folder.name, "access.log")
        self.error_log = os.path.join(folder.name, "error.log")

    def logged(self, *requests):
        """The access log's lines after a server has answered these requests on one connection."""
        with Server("response_app", f"--access_log={self.access_log}", f"--error_log={self.error_log}") as server:
            with server.connect() as connection:
                for request in requests:
                    connection.send(request)
                    connection.read_response("HEAD" if request.startswith(b"HEAD") else "GET")
        with open(self.access_log, encoding="latin-1") as log:
            return log.read().splitlines()

    def test_each_response_is_a_line_in_combined_format(self):
        lines = self.logged(
            request_bytes("GET", "/hello?a=b%20c", [("User-Agent", "e2e/1.0"), ("Referer", "http://from.example/")]),
            request_bytes("POST", "/empty-list", (), b"body"), request_bytes("HEAD", "/hello"))
        fields = [COMBINED.fullmatch(line).groups() for line in lines]
        self.assertEqual(len(fields), 3)
        address, user, _, request, status, size, referrer, agent = fields[0]
        self.assertEqual((address, user), ("127.0.0.1", "-"))
        self.assertEqual((request, status, size), ("GET /hello?a=b%20c HTTP/1.1", "200", "5"))
        self.assertEqual((referrer, agent), ("http://from.example/", "e2e/1.0"))
        self.assertEqual(fields[1][3:], ("POST /empty-list HTTP/1.1", "200", fields[1][5], "-", "-"))
        self.assertIn(fields[1][5], ("0", "-"))
        self.assertIn(fields[2][5], ("0", "-"))

    def test_a_failed_request_is_a_line_too(self):
        lines = self.logged(request_bytes("GET", "/raises"))
        self.assertEqual(COMBINED.fullmatch(lines[0]).group(5), "500")
        lines = self.logged(b"BAD\r\n\r\n")
        self.assertTrue(all(COMBINED.fullmatch(line) for line in lines), lines)

    def test_clients_cannot_forge_the_log(self):
        lines = self.logged(request_bytes("GET", '/hello', [("User-Agent", 'a" 200 5 "-" "forged \\ caf\u00e9')]))
        self.assertEqual(len(lines), 1)
        agent = COMBINED.fullmatch(lines[0]).group(8)
        self.assertIsNone(re.search(r'(?<!\\)"', COMBINED.fullmatch(lines[0]).group(4)))
        self.assertIsNone(re.search(r'(?<!\\)"', agent), agent)

    def test_it_is_off_by_default(self):
        with Server("response_app") as server, server.connect() as connection:
            connection.get("/hello")
        self.assertEqual(server.stdout(), "")

    def test_a_hyphen_means_standard_output(self):
        with Server("response_app", "--access_log=-") as server, server.connect() as connection:
            connection.get("/hello")
        self.assertTrue(COMBINED.fullmatch(server.stdout().strip()), server.stdout())

    def test_tracebacks_and_wsgi_errors_go_to_the_error_log(self):
        self.logged(request_bytes("GET", "/raises"))
        with open(self.error_log) as log:
            self.assertIn("RuntimeError: raised before start_response", log.read())

    def test_logs_are_appended_to(self):
        self.logged(request_bytes("GET", "/hello"))
        self.assertEqual(len(self.logged(request_bytes("GET", "/hello"))), 2)

    def test_a_log_that_cannot_be_opened_is_named(self):
        for flag in ("access_log", "error_log"):
            code, _, stderr = run_to_exit("--app=response_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                          f"--{flag}=/no/such/folder/log")
            self.assertGreater(code, 0)
            self.assertIn("/no/such/folder/log", stderr)

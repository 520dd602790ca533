"""Every request has an id: in its environ, in the access log and in the error log, as text and as JSON."""

import json
import os
import re
import tempfile
import unittest

from fixture import Server

OURS = re.compile(r"[0-9a-f]{12}-[0-9a-f]+")


class RequestIds(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.access_log = os.path.join(folder.name, "access.log")
        self.error_log = os.path.join(folder.name, "error.log")

    def serve(self, *flags):
        return Server("request_id_app", f"--access_log={self.access_log}", f"--error_log={self.error_log}", *flags)

    def objects(self, path):
        with open(path, encoding="utf-8") as log:
            return [json.loads(line) for line in log]

    def test_it_is_the_clients_where_that_is_sane(self):
        with self.serve() as server, server.connect() as connection:
            for sane in ("abc-1", "A.b_C", "x" * 128):
                self.assertEqual(connection.get("/", [("X-Request-ID", sane)]).text, sane)
            for strange in ("a b", "a/b", "x" * 129, 'a"b', "caf\u00e9", ""):
                self.assertRegex(connection.get("/", [("X-Request-ID", strange)]).text, OURS)

    def test_ours_are_all_different(self):
        with self.serve() as server, server.connect() as connection:
            ids = {connection.get("/").text for _ in range(50)}
        self.assertEqual(len(ids), 50)
        self.assertTrue(all(OURS.fullmatch(one) for one in ids), ids)

    def test_it_is_not_in_the_response(self):
        with self.serve() as server, server.connect() as connection:
            response = connection.get("/", [("X-Request-ID", "mine")])
            self.assertIsNone(response.get("X-Request-ID"))

    def test_the_error_log_names_it_as_text(self):
        with self.serve() as server, server.connect() as connection:
            self.assertEqual(connection.get("/raises", [("X-Request-ID", "mine")]).status, 500)
        with open(self.error_log, encoding="utf-8") as log:
            self.assertRegex(log.read(), r"\[\d+\] \[mine\] GET /raises: the application failed\nTraceback ")

    def test_as_json_both_logs_are_one_object_a_line(self):
        with self.serve("--log_format=json") as server, server.connect() as connection:
            own = connection.get("/").text
            connection.get("/raises?\"quoted\"", [("X-Request-ID", "mine"), ("User-Agent", 'a"\\b')])
            connection.get("/writes", [("X-Request-ID", "writer")])
        served, failed, _ = self.objects(self.access_log)
        self.assertEqual((served["request_id"], served["status"], served["method"]), (own, 200, "GET"))
        self.assertEqual(served["bytes"], len(own))
        self.assertGreaterEqual(served["run_ms"], 0)
        self.assertRegex(served["time"], r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\Z")
        self.assertEqual((failed["request_id"], failed["status"]), ("mine", 500))
        self.assertEqual((failed["target"], failed["user_agent"]), ('/raises?"quoted"', 'a"\\b'))
        errors = self.objects(self.error_log)
        error = next(one for one in errors if one.get("request_id") == "mine")
        self.assertEqual((error["method"], error["target"]), ("GET", '/raises?"quoted"'))
        self.assertIn("Traceback (most recent call last):\n", error["message"])
        written = [one["message"] for one in errors if one.get("source") == "application"]
        self.assertEqual(written, ["two pieces, one line", "and \ttwo\u20ac"])
        self.assertTrue(all("pid" in one and "time" in one for one in errors))

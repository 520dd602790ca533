#!/usr/bin/python3.11
"""What the benchmark reads and computes, without running a server: python3.11 testing/bench/bench_test.py."""

import json
import math
import pathlib
import socketserver
import tempfile
import threading
import unittest
import wsgiref.simple_server
from xml.etree import ElementTree

import bench
import chat
import idle_client
import load
import report
import scenarios
import servers
import svg
import targets

WRK = """Running 2s test @ http://127.0.0.1:9/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   190.09us   66.01us   1.95ms   85.10%
    Req/Sec   175.91k     6.63k  183.05k    90.48%
  Latency Distribution
     50%  191.00us
     75%  213.00us
     90%  249.00us
     99%    1.41ms
  367381 requests in 2.10s, 27.33MB read
"""


class WrkOutput(unittest.TestCase):
    def test_counts_rates_and_percentiles_are_read_in_their_units(self):
        result = load.parse_wrk(WRK, cpu_seconds=1.05)
        self.assertEqual((result.requests, result.seconds), (367381, 2.1))
        self.assertEqual((result.p50_us, result.p99_us), (191, 1410))
        self.assertEqual(result.client_busy, 0.5)
        self.assertEqual(result.errors, 0)

    def test_socket_errors_and_refusals_are_added_up(self):
        more = "  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 20\n"
        self.assertEqual(load.parse_wrk(WRK + more, 1).errors, 30)

    def test_a_run_without_an_answer_has_no_percentiles(self):
        self.assertTrue(math.isnan(load.parse_wrk("  0 requests in 1.00s, 0.00B read\n", 1).p50_us))

    def test_output_without_a_summary_is_an_error(self):
        with self.assertRaises(RuntimeError):
            load.parse_wrk("unable to connect\n", 1)


class Medians(unittest.TestCase):
    def test_the_ratio_is_taken_within_rounds(self):
        rounds = {
            "greenring-ucontext": [{"cpu_us": 6}, {"cpu_us": 12}, {"cpu_us": 9}],
            servers.LIMIT: [{"cpu_us": 4}, {"cpu_us": 8}, {"cpu_us": 3}],
        }
        table = report.medians(rounds)
        self.assertEqual(table["greenring-ucontext"], {"cpu_us": 9, "cpu_ratio": 1.5})
        self.assertEqual(table[servers.LIMIT]["cpu_ratio"], 1)

    def test_a_figure_that_no_round_has_stays_unknown(self):
        table = report.medians({"uwsgi-sync": [{"syscalls": None}]})
        self.assertIsNone(table["uwsgi-sync"]["syscalls"])
        self.assertIn("uwsgi-sync", report.table("Title", table))


class Targets(unittest.TestCase):
    def verdicts(self, scenarios, micro=()):
        rows = targets.check(targets.Results(scenarios, dict(micro)))
        return {target.name: verdict for target, _, verdict in rows}

    def test_the_bound_itself_is_met_and_more_is_missed(self):
        name = "hello: CPU against the raw responder"
        for ratio, verdict in ((1.35, "met"), (1.36, "missed")):
            self.assertEqual(self.verdicts({"hello": {servers.DEFAULT: {"cpu_ratio": ratio}}})[name], verdict)

    def test_a_target_may_be_a_least(self):
        name = "sleep: requests a second, of 10,000"
        for rate, verdict in ((9_800, "met"), (9_799, "missed")):
            self.assertEqual(self.verdicts({"sleep": {servers.DEFAULT: {"rps": rate}}})[name], verdict)

    def test_a_peer_that_was_not_measured_leaves_the_ratio_open(self):
        name = "sleep: CPU against uWSGI's threads"
        ours = {servers.DEFAULT: {"cpu_us": 10}}
        self.assertEqual(self.verdicts({"sleep": ours})[name], "not measured")
        self.assertEqual(self.verdicts({"sleep": {**ours, "uwsgi-threads": {"cpu_us": 20}}})[name], "met")

    def test_the_slower_engine_decides(self):
        micro = {("BM_SwitchPair", "ucontext"): {"ns": 29}, ("BM_SwitchPair", "fcontext"): {"ns": 31}}
        self.assertEqual(self.verdicts({}, micro)["switch out and back in"], "missed")

    def test_what_was_not_run_is_not_measured(self):
        self.assertEqual(set(self.verdicts({}).values()), {"not measured"})


class Output(unittest.TestCase):
    def test_json_and_svg_can_be_read_back(self):
        tables = {"hello": {"greenring-ucontext": {"cpu_us": 5.0, "rps": 1e5}, "a<b": {"cpu_us": 0.0, "rps": 0.0}}}
        with tempfile.TemporaryDirectory() as name:
            directory = pathlib.Path(name)
            checked = targets.check(targets.Results(tables, {}))
            report.write_json(directory / "r.json", {}, {}, tables, {("BM_X", "ucontext"): {"ns": 1.0}}, checked)
            self.assertEqual(json.loads((directory / "r.json").read_text())["medians"], tables)
            svg.write(directory / "r.svg", bench.panels(tables))
            bars = ElementTree.parse(directory / "r.svg").findall(".//{http://www.w3.org/2000/svg}rect[@y]")
            self.assertEqual(len(bars), 4)


class Answers(unittest.TestCase):
    def test_an_answer_is_whole_when_its_body_is(self):
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n"
        self.assertFalse(idle_client.is_whole(head[:-1]))
        self.assertFalse(idle_client.is_whole(head + b"ab"))
        self.assertTrue(idle_client.is_whole(head + b"abc"))


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


class ThreadedServer(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True
    request_queue_size = 64


class ChatUsers(unittest.TestCase):
    """The client, and the application, which lives as long as the process, on a server of the standard library."""

    def start(self, application):
        server = wsgiref.simple_server.make_server("127.0.0.1", 0, application, ThreadedServer, QuietHandler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.addCleanup(server.server_close)
        self.addCleanup(server.shutdown)
        return f"http://127.0.0.1:{server.server_port}"

    def chat_application(self):
        path = servers.APPS / "chat.py"
        globals_of_its_own = {"__name__": "chat_application"}
        exec(compile(path.read_text(), path, "exec"), globals_of_its_own)
        return globals_of_its_own["application"]

    def test_all_hear_all_messages_and_those_who_come_later_only_what_follows(self):
        url = self.start(self.chat_application())
        for users in (3, 5):
            with load.ChatUsers(url, users) as chat_users:
                told = chat_users.talk(seconds=0.5, rate=8)
                self.assertEqual(told["deliveries"], users * 4)
                self.assertLess(told["p50_us"], 10e6)

    def test_a_message_that_is_lost_ends_the_run(self):
        application = self.chat_application()

        def with_a_loss(environ, start_response):
            [body] = application(environ, start_response)
            return [body.replace(b"message 2,", b"message 3,")]

        with self.assertRaisesRegex(RuntimeError, "user . heard .*message 3.* as message 2"):
            with load.ChatUsers(self.start(with_a_loss), 2) as chat_users:
                chat_users.talk(seconds=0.5, rate=8)

    def test_a_server_that_refuses_says_so(self):
        def busy(environ, start_response):
            start_response("503 Busy", [("Content-Length", "0")])
            return [b""]

        with self.assertRaisesRegex(RuntimeError, "503 Busy"):
            load.ChatUsers(self.start(busy), 2)


class MemoryOfUsers(unittest.TestCase):
    def test_each_users_share_is_of_those_who_came_in_addition(self):
        growth = chat.Growth(chat.Memory(rss_bytes=1_000, pss_bytes=500, peak_bytes=1_000), users=10)
        growth.first = chat.Memory(rss_bytes=2_000, pss_bytes=900, peak_bytes=2_000)
        growth.kept = chat.Memory(rss_bytes=1_500, pss_bytes=800, peak_bytes=2_100)
        figures = growth.figures(chat.Memory(rss_bytes=2_200, pss_bytes=1_000, peak_bytes=2_500))
        self.assertEqual((figures["user_bytes"], figures["user_pss_bytes"], figures["peak_bytes"]), (120, 50, 150))
        self.assertEqual((figures["first_bytes"], figures["kept_bytes"]), (100, 50))


class CommandLine(unittest.TestCase):
    def test_a_server_made_for_one_scenario_takes_part_in_no_other(self):
        threads = bench.select(servers.ALL, "gunicorn-threads", "server")[0]
        names = [scenario.name for scenario in scenarios.ALL if threads.takes_part_in(scenario)]
        self.assertEqual(names, ["chat"])

    def test_every_name_can_be_selected_and_others_end_the_run(self):
        self.assertEqual(bench.select(servers.ALL, "raw,uwsgi-sync", "server")[0].name, "raw")
        with self.assertRaises(SystemExit):
            bench.select(servers.ALL, "rwa", "server")


if __name__ == "__main__":
    unittest.main()

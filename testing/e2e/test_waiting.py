"""Blocking calls of the C library on green threads: each parks the request that makes it, and nobody else."""

import fcntl
import json
import os
import shutil
import tempfile
import unittest

from case import on_each_engine
from components import SlowPage
from fixture import Server
from overlap import OverlapCase
from slow_names import SlowNames

_NAME_HELPERS_MAX = 20  # names are resolved on helper threads: glibc waits inside, where nothing can park

_page, _secure_page = SlowPage(), SlowPage(tls=True)


def setUpModule():
    _page.start()
    _secure_page.start()


def tearDownModule():
    _page.stop()
    _secure_page.stop()


class WaitingCase(OverlapCase):
    app = "waiting_app"
    flags = ("--async_cores=64",)

    @classmethod
    def environment(cls):
        return {"SSL_AUTHORITY": _secure_page.authority}

    def setUp(self):
        super().setUp()
        self.directory = tempfile.mkdtemp(prefix="greenring-e2e-")
        self.addCleanup(shutil.rmtree, self.directory)

    def make_fifos(self, count):
        paths = [os.path.join(self.directory, f"fifo-{number}") for number in range(count)]
        for path in paths:
            os.mkfifo(path)
        return paths


@on_each_engine
class Time(WaitingCase):
    def test_time_sleep(self):
        self.assertEqual(self.assert_overlap(["/sleep?0.5"] * 50, 0.5), [b"slept"] * 50)

    def test_usleep_of_the_c_library(self):
        self.assertEqual(self.assert_overlap_json(["/c-usleep?0.5"] * 10, 0.5), [0] * 10)

    def test_poll_of_the_c_library(self):
        self.assertEqual(self.assert_overlap_json(["/c-poll?0.5"] * 10, 0.5), [0] * 10)

    def test_shorter_waits_end_first(self):
        slow, quick = self.send_all(["/sleep?0.6", "/sleep?0.1"])
        self.assertEqual(quick.read_response().body, b"slept")
        self.assertFalse(slow.has_buffered_bytes())
        self.assertEqual(slow.read_response().body, b"slept")

    def test_a_client_that_leaves_does_not_end_the_wait_of_others(self):
        leaving, staying = self.send_all(["/sleep?0.3", "/sleep?0.3"])
        leaving.close(reset=True)
        self.assertEqual(staying.read_response().body, b"slept")
        self.assert_alive()


@on_each_engine
class Descriptors(WaitingCase):
    def test_select_poll_and_epoll_time_out(self):
        targets = [f"/readable-in-time/{way}?0.5" for way in ("select", "poll", "epoll")] * 10
        self.assertEqual(self.assert_overlap_json(targets, 0.5), [False] * 30)

    def test_select_poll_and_epoll_see_what_comes(self):
        fifos = self.make_fifos(3)
        waiting = self.send_all([f"/readable/{way}?{path}" for way, path in zip(("select", "poll", "epoll"), fifos)])
        self.assert_still_parked(waiting)
        for path in fifos:
            with open(path, "wb", buffering=0) as fifo:
                fifo.write(b"something")
                self.assertEqual(waiting.pop(0).read_response().body, b"something")

    def test_a_fifo_stalls_in_open_and_in_read(self):
        fifos = self.make_fifos(10)
        waiting = self.send_all([f"/fifo?{path}" for path in fifos])
        self.assert_still_parked(waiting)
        writers = [open(path, "wb", buffering=0) for path in fifos]
        self.assert_still_parked(waiting)
        for number, writer in enumerate(writers):
            with writer:
                writer.write(b"to %d" % number)
        self.assertEqual(self.read_all(waiting), [b"to %d" % number for number in range(10)])

    def test_one_request_accepts_what_another_one_connects_and_sends(self):
        accepting, sending = self.connect(), self.connect()
        accepting.send_request("GET", "/accept")
        accepting.read_head()
        port = int(accepting.read_chunk())
        self.assert_still_parked([accepting])
        sending.send_request("GET", f"/connect?{port}")
        self.assertEqual([accepting.read_chunk(), accepting.read_chunk()], [b"10000000", b""])
        self.assertEqual(sending.read_response().body, b"sent")

    def test_a_socket_s_timeout_ends_a_read(self):
        self.assertEqual(self.assert_overlap(["/read-timeout?0.5"] * 20, 0.5), [b"timed out"] * 20)


class Files(WaitingCase):
    def test_files_are_written_forced_to_disk_and_read_back(self):
        for connection in self.send_all(["/files?4"] * 8):
            self.assertEqual(json.loads(connection.read_response().body), [True, True])
            connection.close()

    def test_file_locks_held_by_another_process_park(self):
        for kind, lock in (("flock", fcntl.flock), ("lockf", fcntl.lockf)):
            with self.subTest(kind), open(os.path.join(self.directory, kind), "w+") as file:
                file.write("0")
                file.flush()
                lock(file, fcntl.LOCK_EX)
                waiting = self.send_all([f"/file-lock/{kind}?{file.name}"])
                self.assert_still_parked(waiting)
                lock(file, fcntl.LOCK_UN)
                self.assertEqual(self.read_all(waiting), [b"1"])

    def test_a_file_lock_keeps_requests_out_while_one_holds_it_and_waits(self):
        path = os.path.join(self.directory, "counter")
        with open(path, "w") as file:
            file.write("0")
        bodies = self.read_all(self.send_all([f"/file-lock/flock?{path}"] * 10))
        self.assertEqual(sorted(map(int, bodies)), list(range(1, 11)))


class Processes(WaitingCase):
    def test_subprocess_run(self):
        self.assertEqual(self.assert_overlap_json(["/process-run?0.5"] * 10, 0.5), [0] * 10)

    def test_subprocess_output_is_read_while_it_runs(self):
        self.assertEqual(self.assert_overlap(["/process-output?0.5"] * 10, 0.5), [b"done\n"] * 10)

    def test_subprocess_is_talked_to_in_both_directions(self):
        for body in self.read_all(self.send_all(["/process-talk"] * 5)):
            self.assertEqual(json.loads(body), [True, 0])

    def test_subprocess_timeout(self):
        self.assertEqual(self.assert_overlap(["/process-timeout?0.5"] * 10, 0.5), [b"timed out"] * 10)

    def test_os_system(self):
        self.assertEqual(self.assert_overlap_json(["/system?0.5"] * 10, 0.5), [3] * 10)

    def test_no_child_is_left_as_a_zombie(self):
        self.read_all(self.send_all(["/process-run?0", "/process-output?0", "/system?0"] * 3))
        with open(f"/proc/{self.server.pid}/task/{self.server.pid}/children") as children:
            self.assertEqual(children.read().split(), [])


class Names(WaitingCase):
    def test_names_are_resolved_by_many_at_once(self):
        for body in self.read_all(self.send_all(["/resolve?localhost"] * 20)):
            self.assertIn("127.0.0.1", json.loads(body))

    def test_a_name_that_does_not_exist_says_so(self):
        self.assertIs(self.json("/resolve-unknown"), True)


class WaitingForNames(SlowNames, WaitingCase):
    def test_a_slow_name_server_parks_only_who_asks(self):
        self.request("GET", "/")  # the server's own threads have begun
        targets = [f"/resolve?host-{number}.test" for number in range(20)]
        self.assertEqual(self.assert_overlap_json(targets, 0.5, _NAME_HELPERS_MAX), [["127.0.0.1"]] * 20)


@on_each_engine
class Clients(WaitingCase):
    def test_requests_over_http(self):
        bodies = self.assert_overlap([f"/fetch?{_page.url}/0.5"] * 30, 0.5, _NAME_HELPERS_MAX)
        self.assertEqual(bodies, [b"waited 0.5"] * 30)

    def test_requests_over_https_with_a_verified_certificate(self):
        bodies = self.assert_overlap([f"/fetch?{_secure_page.url}/0.5"] * 20, 0.5, _NAME_HELPERS_MAX)
        self.assertEqual(bodies, [b"waited 0.5"] * 20)

    def test_a_certificate_of_an_unknown_authority_is_refused(self):
        bodies = self.read_all(self.send_all([f"/fetch-unverified?{_secure_page.url}/0"] * 5))
        self.assertEqual(bodies, [b"refused"] * 5)

    def test_the_ssl_module(self):
        targets = [f"/tls?localhost:{_secure_page.port}/0.5"] * 20
        self.assertEqual(self.assert_overlap(targets, 0.5, _NAME_HELPERS_MAX), [b"waited 0.5"] * 20)


@on_each_engine
class Drain(unittest.TestCase):
    def serve(self, app, *flags):
        server = Server(app, *flags, engine=self.engine, usual=("",), env=WaitingCase.environment()).start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        return server

    def wait_in(self, server, target):
        """Five connections whose handlers wait: they began before one that has been answered."""
        connections = [server.connect() for _ in range(5)]
        for connection in connections:
            self.addCleanup(connection.close)
            connection.send_request("GET", target)
        with server.connect() as other:
            self.assertEqual(other.get("/").status, 200)
        return connections

    def test_waits_are_finished(self):
        server = self.serve("waiting_app")
        waiting = self.wait_in(server, "/sleep?0.5")
        server.terminate()
        for connection in waiting:
            self.assertEqual(connection.read_response().body, b"slept")
        server.stop()

    def test_waits_are_cut_short_when_it_takes_too_long(self):
        for app, target in (("waiting_app", "/sleep?60"), ("waiting_app", "/process-run?60"),
                            ("thread_app", "/asyncio?60"), ("thread_app", "/gevent?60"),
                            ("thread_app", "/event-wait?never")):
            with self.subTest(target):
                server = self.serve(app, "--drain_timeout=100ms")
                waiting = self.wait_in(server, target)
                server.terminate()
                server.log.expect("the drain timed out: 5 requests were cut short")
                for connection in waiting:
                    connection.expect_close()
                server.stop()

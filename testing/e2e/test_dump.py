"""Seeing inside: dumps of all green threads, deadlocks, a debugger."""

import json
import os
import re
import signal
import time

from case import on_each_engine
from fixture import Server, eventually
from overlap import OverlapCase

USUAL = (r"^$", r"^  ", r"^\d* ?green thread", r"^OS thread", r"dump of \d+ green threads")


class DumpCase(OverlapCase):
    app = "dump_app"
    flags = ("--async_cores=16",)
    usual = USUAL

    def threads(self):
        return json.loads(self.request("GET", "/threads").body)

    def await_thread(self, what, matches):
        """The record of the first green thread that `matches`."""
        return eventually(lambda: next(filter(matches, self.threads()), None), what)

    def await_call(self, call):
        return self.await_thread(f"a green thread in {call}", lambda thread: thread["call"] == call)

    def dump(self):
        return self.request("GET", "/dump").body.decode()

    def block(self, pattern):
        """The block of the dump whose head matches."""
        blocks = self.dump().split("\n\n")
        found = [block for block in blocks if re.search(pattern, block.splitlines()[0])]
        self.assertEqual(len(found), 1, "\n\n".join(blocks))
        return found[0]

    def signal(self, number=signal.SIGUSR1):
        self.server.process.send_signal(number)


@on_each_engine
class Threads(DumpCase):
    def test_a_receive_names_its_peer_and_its_age(self):
        waiting = self.send_all(["/recv?one"])
        first = self.await_call("recv")
        time.sleep(0.3)
        later = self.await_call("recv")
        self.assertGreaterEqual(later["seconds"], first["seconds"] + 0.3)
        self.assertEqual(later["state"], "parked")
        self.assertRegex(later["waiting_for"], r"^recv, fd \d+ \(tcp 127\.0\.0\.1:\d+ > 127\.0\.0\.1:\d+\)$")
        self.assertEqual(later["switches"], first["switches"])
        self.assertLess(later["cpu_seconds"], 0.25)
        self.assertGreater(later["stack_used"], 0)
        self.assertLessEqual(later["stack_used"], later["stack_size"])
        block = self.block(r"in recv")
        self.assertRegex(block, r'green thread \d+ "core": parked \d+\.\d+ s in recv, fd \d+ \(tcp .*\)\n')
        self.assertIn("in deep_receive", block)
        self.assertLess(block.index("in receive"), block.index("in deep_receive"))
        self.request("GET", "/send?one")
        self.read_all(waiting)

    def test_a_sleep_says_when_it_ends(self):
        waiting = self.send_all(["/sleep?1.5"])
        thread = self.await_call("clock_nanosleep")
        self.assertGreater(thread["timeout"], 0)
        self.assertLess(thread["timeout"], 1.5)
        self.assertRegex(self.block("in clock_nanosleep"), r"for \d\.\d{3} s more")
        self.read_all(waiting)

    def test_a_lock_names_its_holder(self):
        holding = self.send_all(["/hold?held"])
        holder = self.await_thread("the holder", lambda thread: thread["call"] and "sem_" in thread["call"])
        waiting = self.send_all(["/lock?held"])
        thread = self.await_thread("one that waits for the holder", lambda thread: thread["holder"] == holder["id"]
                                   and thread["id"] != holder["id"])
        self.assertRegex(thread["waiting_for"], rf"^sem_\w+, lock 0x[0-9a-f]+ held by green thread {holder['id']}$")
        self.assertIn(f"held by green thread {holder['id']}", self.block(rf"green thread {thread['id']} "))
        self.request("GET", "/go?held")
        self.read_all(holding + waiting)

    def test_a_body_that_is_still_to_come(self):
        connection = self.connect()
        connection.send(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        thread = self.await_call("request body")
        self.assertRegex(thread["waiting_for"], r"^request body, fd \d+ \(tcp ")
        connection.send(b"abc")
        self.assertEqual(connection.read_response().body, b"abc")

    def test_who_spins_is_told_of_and_has_the_time(self):
        waiting = self.send_all(["/spin?1.5"])
        thread = self.await_thread("one that has spun", lambda thread: thread["cpu_seconds"] > 0.3 and
                                   thread["state"] == "runnable")
        self.assertIn("in spin", self.block(rf"green thread {thread['id']} .*runnable"))
        self.read_all(waiting)

    def test_idle_cores_are_counted(self):
        self.read_all(self.send_all(["/sleep?0.1"] * 8))
        dump = self.dump()
        idle = int(re.search(r"(\d+) idle\n", dump).group(1))
        self.assertGreaterEqual(idle, 7)
        self.assertNotIn("in idle", dump)

    def test_an_os_thread_hears_that_it_cannot(self):
        self.assertIn("only green threads", self.request("GET", "/dump-from-os-thread").body.decode())


@on_each_engine
class Signal(DumpCase):
    def test_a_dump_goes_to_the_log_and_nobody_loses_a_request(self):
        waiting = self.send_all(["/recv?two"] + ["/sleep?1"] * 5 + ["/spin?1"] * 2)
        self.await_call("recv")
        for _ in range(5):
            self.signal()
            self.expect_log(r"dump of \d+ green threads: ")
            self.expect_log(r'^green thread \d+ "core": parked .* in recv, fd')
            self.expect_log(r"in deep_receive$")
        self.request("GET", "/send?two")
        self.read_all(waiting)

    def test_a_dump_before_anything_else(self):
        self.signal()
        self.expect_log(r"dump of \d+ green threads: 1 running, 0 runnable")

    def test_the_child_of_a_fork_dies_of_it(self):
        self.assertEqual(json.loads(self.request("GET", "/fork").body), -signal.SIGUSR1)
        self.assert_alive()


@on_each_engine
class Deadlocks(DumpCase):
    def test_two_handlers_that_wait_for_each_other(self):
        waiting = self.send_all(["/pair?a,b", "/pair?b,a"])
        begin = time.monotonic()
        self.expect_log(r"probably a deadlock: 2 green threads")
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)
        for _ in range(2):
            self.expect_log(r"parked .* in sem_\w+, lock 0x[0-9a-f]+ held by green thread \d+, for")
            self.expect_log(r"in take_both$")
        self.assertIn("probably a deadlock", self.dump())
        self.read_all(waiting)
        self.assertNotIn("deadlock", self.dump())

    def test_three(self):
        waiting = self.send_all(["/pair?x,y", "/pair?y,z", "/pair?z,x"])
        self.expect_log(r"probably a deadlock: 3 green threads")
        self.read_all(waiting)

    def test_events_and_queues_for_a_lock_are_none(self):
        waiting = self.send_all(["/hold?q", "/event?r", "/event?r"])
        self.await_thread("the holder", lambda thread: thread["call"] and "sem_" in thread["call"])
        waiting += self.send_all(["/lock?q"] * 3)
        time.sleep(2.5)
        self.assertNotIn("deadlock", self.dump())
        self.request("GET", "/go?q")
        self.request("GET", "/go?r")
        self.read_all(waiting)  # the log is checked at the end: nothing else may stand in it


class Stuck(DumpCase):
    """The loop thread hangs in a call that nobody intercepts."""

    def assert_told(self, target):
        waiting = self.send_all(["/recv?" + target])
        self.await_call("recv")
        waiting += self.send_all([target])
        time.sleep(0.3)
        begin = time.monotonic()
        self.signal()
        self.expect_log(r"the loop thread does not answer")
        self.assertGreaterEqual(time.monotonic() - begin, 0.9)
        self.expect_log(r"the loop thread's stack in C")
        self.expect_log(r"syscall")
        self.expect_log(r"the loop thread's stack in Python")
        self.expect_log(r"in hang_in_c$")
        self.expect_log(r"dump from outside of \d+ green threads")
        self.expect_log(r'^green thread \d+ "core": parked .* in recv')
        self.expect_log(r"dump of \d+ green threads")  # when it can again
        self.request("GET", "/send?" + target)
        self.read_all(waiting)

    def test_without_the_gil(self):
        self.assert_told("/stuck")

    def test_with_the_gil(self):
        self.assert_told("/stuck?gil")


class OwnHandler(DumpCase):
    """The application's own handler of SIGUSR1 wins."""

    @classmethod
    def environment(cls):
        return {"DUMP_APP_HANDLER": "1"}

    def test_the_handler_of_the_application_wins(self):
        self.signal()
        self.expect_log("the application's handler")
        time.sleep(1.3)
        self.assertNotIn("green threads:", self.server.log.text())


class Draining(DumpCase):
    def test_a_dump_while_draining(self):
        with Server("dump_app", usual=USUAL) as server:
            connection = server.connect()
            connection.send_request("GET", "/sleep?1")
            eventually(lambda: json.loads(server.connect().get("/threads").body), "an answer")
            server.terminate()
            server.log.expect("draining")
            server.process.send_signal(signal.SIGUSR1)
            server.log.expect(r"dump of \d+ green threads")
            server.log.expect(r"in clock_nanosleep")
            self.assertEqual(connection.read_response().status, 200)
            connection.close()

"""uWSGI's signal framework: handlers, timers, file monitors and the decorators, across the workers of a pool."""

import json
import os
import signal
import time
import unittest

from fixture import eventually
from uwsgi_master import UwsgiMasterCase


class Signals(UwsgiMasterCase):
    def test_signals_go_where_they_were_registered_for(self):
        with self.uwsgi_master() as server:
            self.get(server, "/signal?1,1,1,1")
            self.assertEqual([worker for _, worker, _ in self.await_events("any 1", 4)].count(1), 2)
            self.get(server, "/signal?2")
            self.assertEqual({worker for _, worker, _ in self.await_events("all 2", 2)}, {1, 2})
            self.get(server, "/signal?3,3")
            self.assertEqual([worker for _, worker, _ in self.await_events("second 3", 2)], [2, 2])
            self.assertEqual(len(self.events("any 1")), 4)

    def test_a_handler_that_sleeps_delays_nobody(self):
        with self.uwsgi_master(workers=1) as server:
            self.get(server, "/signal?4,4")
            self.await_events("slow begins", 2)
            self.get(server, "/signal?1")
            self.await_events("any 1", 1)
            self.assertEqual(self.events("slow ends"), [])
            begins, ends = self.events("slow begins"), self.await_events("slow ends", 2)
            self.assertLess(begins[1][0], ends[0][0], "they overlap")

    def test_what_a_handler_raises_is_logged(self):
        with self.uwsgi_master(workers=1, usual=(r"the handler of signal 5 failed", r"^Traceback", r"^  ",
                                                 r"^ValueError: the handler's own error")) as server:
            self.get(server, "/signal?5")
            server.log.expect("ValueError: the handler's own error")
            self.get(server, "/signal?1")
            self.await_events("any 1", 1)

    def test_a_request_waits_for_a_signal(self):
        with self.uwsgi_master(workers=1) as server:
            waiting = self.send(server, "/wait?30")
            self.await_events("waits", 1)
            self.assertEqual(self.get(server, "/"), b"hello")
            # The request says that it waits just before it does: until then the signal comes to nobody.
            eventually(lambda: self.json(server, "/registered") is not None, "an answer")
            time.sleep(0.3)
            self.get(server, "/signal?30")
            self.assertEqual(json.loads(waiting.getresponse().read()), ["b''", 30])
            waiting.close()

    def test_errors_are_those_of_uwsgi(self):
        usual = (r"uwsgi.signal\(20\) has no effect", r"uwsgi.unlock\(9\) has no effect")
        with self.uwsgi_master(workers=1, usual=usual) as server:
            self.assertEqual(self.json(server, "/errors"),
                             ["ValueError", "ValueError", "None", "ValueError", "ValueError", "ValueError",
                              "None", "NotImplementedError", "ValueError", "None", "NotImplementedError"])
            self.assertEqual(self.json(server, "/registered"), [True, None])


class Sources(UwsgiMasterCase):
    def test_a_timer_of_three_signals_sends_three_for_all_workers(self):
        with self.uwsgi_master() as server:
            self.await_events("three times", 3)
            self.await_events("tick", 4)
            self.assertEqual(len(self.events("three times")), 3)
            # A worker that is started anew says the same once more.
            os.kill(self.events("tick")[0][2], signal.SIGKILL)
            seen = len(self.events("tick"))
            self.await_events("tick", seen + 3)
            self.assertEqual(len(self.events("three times")), 3)
            self.assertEqual(self.get(server, "/"), b"hello")

    def test_a_timer_keeps_its_rhythm_through_a_reload(self):
        with self.uwsgi_master() as server:
            before = {pid for _, _, pid in self.await_events("tick", 2)}
            self.assertIs(self.json(server, "/reload"), True)
            eventually(lambda: {pid for _, _, pid in self.events("tick")} - before, "a tick in a new worker")
            self.await_events("tick", len(self.events("tick")) + 2)
            ticks = [when for when, _, _ in self.events("tick")]
            for earlier, later in zip(ticks, ticks[1:]):
                self.assertGreater(later - earlier, 0.2, "two in one period")

    def test_a_file_that_changes_is_told(self):
        with self.uwsgi_master() as server:
            self.assertEqual(self.events("monitor"), [])
            for count, change in enumerate((self.write, self.write, self.replace, self.delete, self.write), 1):
                change()
                events = self.await_events("monitor", count)
                self.assertEqual((len(events), events[-1][1]), (count, 1))
            self.assertEqual(self.get(server, "/"), b"hello")

    def write(self):
        with open(self.path("watched"), "a", encoding="utf-8") as file:
            file.write("more\n")

    def replace(self):
        self.path("new", "new")
        os.rename(self.path("new"), self.path("watched"))

    def delete(self):
        os.unlink(self.path("watched"))


class Pool(UwsgiMasterCase):
    def test_workers_are_told_of(self):
        with self.uwsgi_master() as server:
            self.assertEqual({worker for _, worker, _ in self.await_events("postfork", 2)}, {1, 2})
            told = self.json(server, "/workers")
            self.assertEqual([worker["id"] for worker in told], [1, 2])
            self.assertEqual({worker["pid"] for worker in told}, {worker.pid for worker in server.workers()})

    def test_stop_ends_the_server(self):
        server = self.uwsgi_master().start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        self.assertIs(self.json(server, "/stop"), True)
        self.assertEqual(server.wait(), 0)


if __name__ == "__main__":
    unittest.main()

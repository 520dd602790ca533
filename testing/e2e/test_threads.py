"""Python's own concurrency between requests: what belongs to a thread belongs to a request, locks wait, threads run."""

import json
import os
import re
import signal
import tempfile

from case import on_each_engine
from fixture import eventually
from overlap import OverlapCase

CORES = 16


class ThreadCase(OverlapCase):
    app = "thread_app"
    flags = (f"--async_cores={CORES}",)

    def post(self, target, body):
        with self.server.connect() as connection:
            self.assertEqual(connection.post(target, body).status, 200)


@on_each_engine
class Locks(ThreadCase):
    def test_an_event_that_another_request_sets(self):
        waiting = self.send_all(["/event-wait?first"] * 10)
        self.assert_still_parked(waiting)
        self.assertEqual(self.request("GET", "/event-set?first").body, b"set")
        self.assertEqual(self.read_all(waiting), [b"true"] * 10)

    def test_an_event_that_nobody_sets_times_out(self):
        self.assertEqual(self.assert_overlap_json(["/event-timeout?0.5"] * 10, 0.5), [False] * 10)

    def test_a_queue_that_another_request_fills(self):
        waiting = self.send_all(["/queue-get?jobs"] * 10)
        self.assert_still_parked(waiting)
        self.post("/queue-put?jobs", b"\n".join(b"job %d" % number for number in range(10)))
        self.assertEqual(sorted(map(json.loads, self.read_all(waiting))), [f"job {number}" for number in range(10)])

    def test_a_condition_gives_turns(self):
        if self.json("/condition?0") is not True:
            self.fail("the first turn was not free")
        waiting = self.send_all([f"/condition?{number}" for number in reversed(range(2, 12))])
        self.assert_still_parked(waiting)
        self.assertIs(self.json("/condition?1"), True)
        self.assertEqual(self.read_all(waiting), [b"true"] * 10)

    def test_a_lock_held_across_a_wait_keeps_others_out_and_hangs_nobody(self):
        for kind in ("lock", "recursive-lock"):
            with self.subTest(kind):
                waiting = self.send_all([f"/{kind}?0.05"] * 10)
                self.assertEqual(self.request("GET", "/").status, 200)
                self.assertEqual(self.read_all(waiting), [b"1"] * 10)

    def test_a_semaphore_lets_three_in(self):
        together = [int(body) for body in self.read_all(self.send_all(["/semaphore?0.05"] * 9))]
        self.assertLessEqual(max(together), 3)

    def test_acquire_times_out(self):
        self.assertEqual(self.assert_overlap_json(["/lock-timeout?0.5"] * 10, 0.5), [False] * 10)

    def test_a_barrier_of_five(self):
        waiting = self.send_all(["/barrier"] * 4)
        self.assert_still_parked(waiting)
        waiting += self.send_all(["/barrier"])
        self.assertEqual(sorted(map(int, self.read_all(waiting))), [0, 1, 2, 3, 4])


@on_each_engine
class Isolation(ThreadCase):
    def test_a_handled_exception_is_the_request_s_own(self):
        answers = self.assert_overlap_json(["/exception?0.3"] * 10, 0.3)
        self.assertEqual(answers, [[True, True, True]] * 10)

    def test_threading_local_and_context_variables_are_the_request_s_own(self):
        answers = self.assert_overlap_json([f"/isolation?{number}" for number in range(10)], 0.3)
        self.assertEqual(answers, [[str(number), str(number), True, True] for number in range(10)])

    def test_get_ident_differs_and_is_stable(self):
        ever = set()
        for _ in range(3):
            answers = self.assert_overlap_json(["/ident?0.2"] * CORES, 0.2)
            self.assertTrue(all(len(set(answer)) == 1 for answer in answers), answers)
            now = {answer[0] for answer in answers}
            self.assertEqual(len(now), CORES, "requests at the same time shared an ident")
            ever |= now
        self.assertLessEqual(len(ever), CORES, "there are more idents than cores")

    def test_depth_of_recursion_is_the_request_s_own(self):
        self.assertEqual(self.assert_overlap_json(["/recursion?0.3"] * 10, 0.3), [900] * 10)


class EventLoops(ThreadCase):
    def test_asyncio_run_beside_others(self):
        targets = ["/asyncio?0.5", "/sleep?0.5"] * 7
        bodies = self.assert_overlap(targets, 0.5)
        self.assertEqual([json.loads(body) for body in bodies[::2]], [[list(range(10)), True]] * 7)
        self.assertEqual(bodies[1::2], [b"slept"] * 7)

    def test_asyncio_runs_a_process(self):
        self.assertEqual(self.request("GET", "/asyncio-process").body, b"THROUGH ASYNCIO")


@on_each_engine
class Greenlets(ThreadCase):
    def test_greenlets_of_two_requests_at_once(self):
        answers = self.assert_overlap_json(["/greenlet?0.5"] * 10, 0.5)
        self.assertEqual(answers, [[10, list(range(10))]] * 10)

    def test_gevent_in_two_requests_at_once(self):
        self.assertEqual(self.assert_overlap_json(["/gevent?0.5"] * 10, 0.5), [list(range(10))] * 10)


@on_each_engine
class OwnThreads(ThreadCase):
    def test_threads_run_beside_requests(self):
        answers = self.assert_overlap_json(["/threads?0.5"] * 5, 0.5, threads_more_max=50)
        self.assertEqual(answers, [[10, 10, False]] * 5)

    def test_a_pool_of_threads(self):
        self.assertEqual(self.json("/pool?0.1"), [0, 1, 4, 9])
        for body in self.read_all(self.send_all(["/pool?0.05"] * 5)):
            self.assertEqual(json.loads(body), [0, 1, 4, 9])

    def test_a_timer_wakes_the_request_that_waits_for_it(self):
        self.assertEqual(self.assert_overlap_json(["/timer?0.5"] * 10, 0.5, threads_more_max=10), [True] * 10)


class GreenOwnThreads(ThreadCase):
    flags = (*ThreadCase.flags, "--python_threads=green")

    def test_threads_are_green(self):
        self.assertEqual(self.assert_overlap_json(["/threads?0.5"] * 5, 0.5), [[10, 10, False]] * 5)

    def test_a_pool_of_green_threads(self):
        for body in self.read_all(self.send_all(["/pool?0.05"] * 5)):
            self.assertEqual(json.loads(body), [0, 1, 4, 9])

    def test_a_timer_is_green(self):
        self.assertEqual(self.assert_overlap_json(["/timer?0.5"] * 10, 0.5), [True] * 10)


    def test_a_thread_that_blocks_signals_leaves_the_server_s_alone(self):
        """The server is ended by SIGTERM after the last test of the class."""
        self.assertIs(self.json("/watchdog"), True)
        with open(f"/proc/{self.server.pid}/status") as status:
            self.assertIn("SigBlk:\t0000000000000000\n", status.read())


class Forks(ThreadCase):
    def test_the_child_of_a_handler_runs_on_its_own(self):
        self.assertEqual(self.assert_overlap_json(["/fork?0.5"] * 10, 0.5), [["told by the child", 7, True]] * 10)

    def test_multiprocessing_with_fork(self):
        for body in self.read_all(self.send_all(["/current-thread"] * 10)):  # its stand-in must not outlive the fork
            self.assertIn(b"Dummy", body)
        targets = ["/multiprocessing?0.5", "/sleep?0.5"] * 5
        bodies = self.assert_overlap(targets, 0.5)
        self.assertEqual([json.loads(body) for body in bodies[::2]], [[[0, 1, 4], [0, 0, 0]]] * 5)

    def test_a_signal_to_the_child_is_the_child_s(self):
        self.assertEqual(self.json("/fork-terminated"), -signal.SIGTERM)
        self.assert_alive()

    def test_a_pool_of_processes(self):
        for body in self.read_all(self.send_all(["/multiprocessing-pool"] * 3)):
            self.assertEqual(json.loads(body), [4, 3, 2, 1])
        self.assert_alive()

    def test_the_server_serves_after_its_children_have_gone(self):
        self.read_all(self.send_all(["/fork?0"] * 10))
        self.assertEqual(self.request("GET", "/sleep?0.01").body, b"slept")


@on_each_engine
class Signals(ThreadCase):
    def test_the_application_s_handler_runs_while_the_server_is_idle(self):
        self.server.process.send_signal(signal.SIGUSR1)
        self.expect_log("^handler of SIGUSR1 in MainThread$")

    def test_the_application_s_handler_runs_while_requests_wait(self):
        waiting = self.send_all(["/event-wait?signal"] * 5)
        self.assert_still_parked(waiting)
        self.server.process.send_signal(signal.SIGUSR1)
        self.expect_log("^handler of SIGUSR1 in MainThread$")
        self.request("GET", "/event-set?signal")
        self.assertEqual(self.read_all(waiting), [b"true"] * 5)


class Library(ThreadCase):
    usual = ("^logged: ", "^printed: ", "^$")  # print() writes the end of the line by itself

    def test_lines_logged_by_many_stay_whole(self):
        self.read_all(self.send_all([f"/log?{number}" for number in range(CORES)]))
        lines = [line for line in self.server.log.lines if line.startswith("logged: ")]
        self.assertEqual(len(lines), 10 * CORES)
        for line in lines:
            self.assertRegex(line, r"^logged: \d+ x{100}$")

    def test_lines_printed_by_many_arrive(self):
        self.read_all(self.send_all([f"/print?{number}" for number in range(CORES)]))
        eventually(lambda: sum(line.count("printed: ") for line in self.server.log.lines) == 10 * CORES,
                   "every printed line")

    def test_a_transaction_of_sqlite_is_waited_for(self):
        with tempfile.TemporaryDirectory(prefix="greenring-e2e-") as directory:
            path = os.path.join(directory, "database")
            values = [json.loads(body) for body in self.read_all(self.send_all([f"/sqlite?{path}"] * 8))]
        self.assertEqual(sorted(values), list(range(1, 9)))

    def test_computing_without_the_gil_gives_right_results(self):
        texts = [f"text-{number}" for number in range(10)]
        answers = [json.loads(body) for body in self.read_all(self.send_all([f"/compute?{text}" for text in texts]))]
        self.assertTrue(all(same for same, _ in answers))
        self.assertEqual(len({digest for _, digest in answers}), len(texts))
        self.assertTrue(all(re.fullmatch("[0-9a-f]{64}", digest) for _, digest in answers))

"""What a worker tells its master of its requests: the list, a stack, a cancel; and its statistics."""

import time

from case import on_each_engine
from fixture import eventually
from link import listening_socket
from test_worker_process import WorkerCase


@on_each_engine
class InFlight(WorkerCase):
    engine = "ucontext"

    def start(self, app, **pool):
        worker = self.worker(app, pool={"engine": self.engine.upper(), **pool}, sockets=[listening_socket()])
        worker.start()
        return worker

    def begin(self, worker, target):
        connection = worker.connect()
        self.addCleanup(connection.close)
        connection.send_request("GET", target, [("X-Request-ID", "mine")])
        return connection

    def listed(self, worker):
        return list(worker.ask(list_requests={"count_max": 100}).request_list.requests)

    def the_parked_one(self, worker):
        return eventually(lambda: next((one for one in self.listed(worker) if one.state == one.PARKED), None),
                          "the request to be parked")

    def test_a_parked_one_is_listed_with_its_stack(self):
        worker = self.start("deadline_app")
        self.begin(worker, "/sleep?30")
        request = self.the_parked_one(worker)
        self.assertEqual((request.request_id, request.method, request.target), ("mine", "GET", "/sleep?30"))
        self.assertRegex(request.client, r"^127\.0\.0\.1:\d+$")
        self.assertGreater(request.stack_use_bytes, 0)
        self.assertIn("sleep", request.call)
        answer = worker.ask(get_stack={"request": int(request.name)}).stack_text
        self.assertIn(", in sleep", answer.python)
        self.assertEqual(answer.request.name, request.name)

    def test_a_cancelled_one_ends_with_503(self):
        worker = self.start("deadline_app")
        connection = self.begin(worker, "/sleep?30")
        request = self.the_parked_one(worker)
        began = time.monotonic()
        answer = worker.ask(cancel_request={"request": int(request.name), "reason": "too slow"})
        self.assertEqual(answer.WhichOneof("what"), "cancelled")
        self.assertEqual(connection.read_response().status, 503)
        self.assertLess(time.monotonic() - began, 20)
        worker.log.expect(r"\[mine\] GET /sleep\?30: cancelled after \S+ s by an operator \(too slow\); answered 503")

    def test_what_is_not_there_is_not_found(self):
        worker = self.start("deadline_app")
        for question in ({"get_stack": {"request": 4711}}, {"cancel_request": {"request": 4711}}):
            answer = worker.ask(**question)
            self.assertEqual(answer.WhichOneof("what"), "refused")
            self.assertTrue(answer.refused.not_found)

    def test_one_that_waits_for_a_core_is_refused_at_once(self):
        worker = self.start("deadline_app", async_cores=1)
        self.begin(worker, "/sleep?30")
        self.the_parked_one(worker)
        waiting = self.begin(worker, "/sleep?30")
        queued = eventually(lambda: next((one for one in self.listed(worker) if one.state == one.QUEUED), None),
                            "the second request to be queued")
        worker.ask(cancel_request={"request": int(queued.name)})
        self.assertEqual(waiting.read_response().status, 503)

    def test_statistics_count_what_was_served(self):
        worker = self.start("deadline_app")
        with worker.connect() as connection:
            for _ in range(20):
                connection.get("/")

        def report():
            statistics = worker.expect("report").statistics
            return statistics.requests >= 20 and statistics
        statistics = eventually(report, "a report of 20 requests")
        self.assertEqual(statistics.responses_by_status[200], 20)
        self.assertEqual(statistics.run_time.count, 20)
        self.assertEqual(statistics.queue_wait.count, 20)
        self.assertGreater(statistics.bytes_received, 20 * 20)
        self.assertGreater(statistics.bytes_sent, 20 * 20)
        self.assertGreater(statistics.cpu_ns, 0)
        self.assertGreater(statistics.rss_bytes, 1 << 20)
        self.assertGreater(statistics.loop_lag.count, 0)

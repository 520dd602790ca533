"""A worker process and its master, whom the test plays: start, serve, drain, and how each of them ends."""

import os
import pwd
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from fixture import APPS, eventually, server_binary
from link import Worker, listening_socket

HERE = os.path.dirname(os.path.abspath(__file__))


class WorkerCase(unittest.TestCase):
    def worker(self, app="input_app", **options):
        worker = Worker(app, **options)
        self.addCleanup(worker.__exit__, None)
        return worker

    def hold_core(self, worker):
        connection = worker.connect()
        self.addCleanup(connection.close)
        connection.send_request("POST", "/gate", [("Content-Length", "1"), ("Expect", "100-continue")])
        self.assertEqual(connection.read_head().status, 100)
        return connection


class Serving(WorkerCase):
    def test_serves_on_the_sockets_it_is_given(self):
        sockets = [listening_socket(), listening_socket()]
        worker = self.worker("response_app", sockets=sockets)
        ready = worker.start()
        self.assertRegex(ready.python_version, r"^3\.\d+\.\d+")
        self.assertIn("engine ucontext, 16 async cores", ready.description)
        for one in sockets:
            with worker.connect() as connection:
                self.assertEqual(connection.get("/hello").body, b"hello", one)

    def test_says_what_it_runs_and_what_has_changed(self):
        worker = self.worker()
        worker.start()
        observed = worker.expect("observed")
        self.assertEqual([generation.generation for generation in observed.generations], [1])
        holder = self.hold_core(worker)
        self.assertEqual(worker.expect("report").statistics.connections, 1)
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)

    def test_has_the_link_and_the_sockets_and_what_it_opens_itself(self):
        worker = self.worker(sockets=[listening_socket(), listening_socket()])
        worker.start()
        files = worker.descriptors()
        self.assertEqual(files.pop(0), "/dev/null")
        self.assertEqual(len([name for name in files.values() if name.startswith("socket:")]), 3, files)
        own = ("socket:", "anon_inode:", "pipe:", f"/proc/{worker.pid}/")
        self.assertEqual([name for fd, name in files.items() if fd > 2 and not name.startswith(own)], [])

    def test_what_the_application_starts_has_neither_link_nor_sockets(self):
        worker = self.worker("link_app")
        worker.start()
        with worker.connect() as connection:
            self.assertEqual(connection.get("/descriptors-of-a-child").body, b"0 1 2 3")

    def test_environment_and_title(self):
        worker = self.worker("link_app", pool={"application": {"environment": {"GREENRING_TEST": "from the pool"}}})
        worker.start()
        with worker.connect() as connection:
            self.assertEqual(connection.get("/environment?GREENRING_TEST").body, b"from the pool")
        self.assertEqual(worker.status("Name"), "greenring")

    def test_a_dump_goes_to_the_error_log(self):
        worker = self.worker()
        worker.start()
        worker.tell(dump={})
        worker.log.expect(r"dump of \d+ green threads")

    def test_what_it_cannot_do_it_refuses_in_words(self):
        worker = self.worker()
        worker.start()
        answer = worker.ask()
        self.assertEqual(answer.WhichOneof("what"), "refused")
        self.assertIn("does not know this message", answer.refused.message)


class Ending(WorkerCase):
    def test_a_drain_finishes_what_is_in_flight_and_exits_0(self):
        worker = self.worker()
        worker.start()
        holder = self.hold_core(worker)
        worker.tell(drain={"reason": "a test"})
        self.assertEqual(worker.expect("draining").requests, 1)
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)
        worker.expect("report")
        self.assertEqual(worker.wait(), 0)
        worker.log.expect(r"a test: draining")

    def test_what_waits_in_the_socket_is_left_to_others(self):
        worker = self.worker()
        worker.start()
        worker.tell(drain={"reason": "a test"})
        self.assertEqual(worker.wait(), 0)
        with worker.connect() as connection:  # the kernel answers for the socket, which is still open here
            successor = self.worker(sockets=[worker.sockets[0].dup()])
            successor.start()
            self.assertEqual(connection.get("/").status, 200)

    def test_a_drain_has_its_own_timeout(self):
        worker = self.worker()
        worker.start()
        self.hold_core(worker)
        worker.tell(drain={"reason": "a test", "timeout_ns": 100_000_000})
        worker.log.expect("the drain timed out: 1 requests were cut short")
        self.assertEqual(worker.wait(), 0)

    def test_SIGTERM_drains_and_what_a_terminal_sends_does_nothing(self):
        worker = self.worker()
        worker.start()
        for number in (signal.SIGINT, signal.SIGHUP):
            os.kill(worker.pid, number)
        with worker.connect() as connection:
            self.assertEqual(connection.get("/").status, 200)
        os.kill(worker.pid, signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)
        worker.log.expect(r"signal 15: draining")

    def test_a_link_that_is_closed_drains_it(self):
        worker = self.worker()
        worker.start()
        holder = self.hold_core(worker)
        worker.link.close()
        worker.log.expect(r"the master is gone \((it has closed the link|the link is broken: Broken pipe)\): draining")
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)
        self.assertEqual(worker.wait(), 0)

    def test_a_master_that_talks_nonsense_is_gone(self):
        worker = self.worker()
        worker.start()
        worker.link.sendall(b"\xff\xff\xff\xff")
        worker.log.expect(r"the master is gone \(it has sent what is no message\): draining")
        self.assertEqual(worker.wait(), 0)

    def test_dies_with_its_master(self):
        master = subprocess.Popen([sys.executable, os.path.join(HERE, "link.py"), "input_app"], stdout=subprocess.PIPE)
        self.addCleanup(master.stdout.close)
        worker_pid = int(master.stdout.readline())
        master.kill()
        master.wait()

        def gone():
            try:
                with open(f"/proc/{worker_pid}/stat") as stat:
                    return stat.read().rpartition(")")[2].split()[0] == "Z"  # nobody reaps here
            except FileNotFoundError:
                return True

        eventually(gone, "the worker to die")

    def test_an_unfit_worker_says_why(self):
        worker = self.worker("deadline_app", pool={"timeouts": {"request": "0.1s", "request_grace": "0.2s",
                                                                "drain": "0.2s"}})
        worker.start()
        with worker.connect() as connection:
            connection.send_request("GET", "/swallow")
            unfit = worker.expect("unfit")
            self.assertTrue(unfit.draining)
            self.assertIn("does not end although it has timed out", unfit.reason)
            self.assertEqual(worker.wait(), 3)

    def test_a_master_that_does_not_read_holds_up_nobody(self):
        worker = self.worker("response_app")
        worker.start()
        for _ in range(20_000):  # answers for a megabyte and more, which nobody takes
            worker.link.setblocking(False)
            try:
                worker.link.send(worker._frame(get_stack={"request": "1"}))
            except BlockingIOError:
                break
        worker.link.setblocking(True)
        with worker.connect() as connection:
            self.assertEqual(connection.get("/hello").body, b"hello")
        os.kill(worker.pid, signal.SIGTERM)
        self.assertEqual(worker.wait(), 0)


class NotStarting(WorkerCase):
    def failure(self, app="input_app", **options):
        worker = self.worker(app, **options)
        worker.send_start()
        failed = worker.expect("start_failed")
        self.assertEqual(worker.wait(), 1)
        return failed

    def test_the_traceback_of_an_import_is_told(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(f"{directory}/broken.py", "w") as file:
                file.write("def f():\n    return 1 / 0\n\nf()\n")
            failed = self.failure("broken", pool={"application": {"working_directory": directory}})
        self.assertIn('line 2, in f\n    return 1 / 0', failed.message)
        self.assertIn("ZeroDivisionError: division by zero\ncannot load the application broken", failed.message)
        self.assertTrue(failed.configuration)

    def test_an_application_that_is_not_there(self):
        failed = self.failure("no_such_module")
        self.assertIn("there is no module 'no_such_module'", failed.message)
        self.assertTrue(failed.configuration)

    def test_what_is_out_of_bounds_is_refused_and_nothing_crashes(self):
        for pool, text in (({"async_cores": -1}, "async_cores: must be from 1 to 100000, not -1"),
                           ({"engine": 99}, "engine: this version has no engine 99"),
                           ({"stack_size_bytes": "1"}, "stack_size_bytes"),
                           ({"time_slice": "3600s"}, "time_slice"),
                           ({"application": {"target": ""}}, "application.target"),
                           ({"application": {"environment": {"a=b": "c"}}}, "application.environment"),
                           ({"timeouts": {"io": "-1s"}}, "timeouts.io")):
            with self.subTest(text):
                failed = self.failure(pool=pool)
                self.assertIn(text, failed.message)
                self.assertTrue(failed.configuration)

    def test_a_socket_that_does_not_listen(self):
        worker = self.worker()
        with open("/dev/null") as file:
            worker.send_start(sockets=[file])
        self.assertIn("adopt a listening socket", worker.expect("start_failed").message)
        self.assertEqual(worker.wait(), 1)

    def test_fewer_sockets_than_named(self):
        worker = self.worker()
        worker.send_start(sockets=[])
        self.assertEqual(worker.wait(), 1)
        worker.log.expect("named 1 listening sockets and 0 of other pools, and sent 0")

    def test_a_first_message_that_is_no_start(self):
        for data in (b"\x03\0\0\0abc", b"\xff\xff\xff\xff", b"\0\0\0\0"):
            worker = self.worker()
            worker.link.sendall(data)
            self.assertEqual(worker.wait(), 1)
            worker.log.expect("the master's first message is no Start")

    def test_a_master_that_goes_before_it_has_said_anything(self):
        worker = self.worker()
        worker.link.close()
        self.assertEqual(worker.wait(), 1)
        worker.log.expect("the master is gone")

    def test_without_a_master_it_says_so(self):
        done = subprocess.run([server_binary(), "--worker"], capture_output=True, text=True, close_fds=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--worker is for the server's own use", done.stderr)


@unittest.skipUnless(os.geteuid() == 0, "needs root")
class AnotherUser(WorkerCase):
    def test_runs_as_user_and_group_and_as_nobody_else(self):
        nobody = pwd.getpwnam("nobody")
        pool = {"user": "nobody", "group": "daemon", "application": {"working_directory": "/"}}
        worker = self.worker(f"{APPS}/link_app.py", pool=pool)
        worker.start()
        self.assertEqual(worker.status("Uid").split(), [str(nobody.pw_uid)] * 4)
        self.assertEqual(set(worker.status("Gid").split()), {"1"})
        self.assertNotIn("0", worker.status("Groups").split())
        with worker.connect() as connection:
            self.assertEqual(connection.get("/read-shadow").body, b"PermissionError")

    def test_still_dies_with_its_master(self):
        # What the kernel was asked for before the change of the user does not hold after it: asked for again.
        script = ("import link, signal, sys\n"
                  f"w = link.Worker('{APPS}/link_app.py', pool={{'user': 'nobody',"
                  " 'application': {'working_directory': '/'}})\n"
                  "w.start(); print(w.pid, flush=True); signal.pause()")
        master = subprocess.Popen([sys.executable, "-c", script], cwd=HERE, stdout=subprocess.PIPE,
                                  env={**os.environ, "PYTHONPATH": HERE})
        self.addCleanup(master.stdout.close)
        worker_pid = int(master.stdout.readline())
        master.kill()
        master.wait()
        eventually(lambda: not os.path.exists(f"/proc/{worker_pid}")
                   or open(f"/proc/{worker_pid}/stat").read().rpartition(")")[2].split()[0] == "Z",
                   "the worker to die")

    def test_a_user_that_is_not_there(self):
        worker = self.worker(pool={"user": "no-such-user"})
        worker.send_start()
        failed = worker.expect("start_failed")
        self.assertEqual(failed.message, 'there is no user "no-such-user"')
        self.assertTrue(failed.configuration)
        self.assertEqual(worker.wait(), 1)

    def test_logs_belong_to_the_user(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chmod(directory, 0o777)
            log = f"{directory}/error.log"
            worker = self.worker(f"{APPS}/link_app.py", pool={"user": "nobody", "logging": {"error_log": log},
                                                              "application": {"working_directory": "/"}})
            worker.start()
            self.assertEqual(os.stat(log).st_uid, pwd.getpwnam("nobody").pw_uid)


class Changing(WorkerCase):
    def test_engine_cores_and_stack_size_change_while_requests_run(self):
        worker = self.worker()
        worker.start()
        self.assertEqual([one.generation for one in worker.expect("observed").generations], [1])
        holder = self.hold_core(worker)
        worker.pool.update(generation="2", engine="FCONTEXT", async_cores=4, stack_size_bytes=str(128 * 1024))
        self.assertTrue(worker.ask(apply={"pool": worker.pool}).HasField("applied"))
        with worker.connect() as connection:
            self.assertEqual(connection.get("/").status, 200)
        self.observe(worker, [(2, 1, 1), (1, 0, 1)])
        holder.send(b"!")
        self.assertEqual(holder.read_response().status, 200)
        self.observe(worker, [(2, 1, 1)])

    def test_limits_change_and_what_is_out_of_bounds_changes_nothing(self):
        worker = self.worker()
        worker.start()
        worker.pool["generation"] = "2"
        worker.pool["limits"] = {**worker.pool["limits"], "request_line_bytes": 100}
        self.assertTrue(worker.ask(apply={"pool": worker.pool}).HasField("applied"))
        with worker.connect() as connection:
            self.assertEqual(connection.get("/" + 200 * "x").status, 414)
        worker.pool["async_cores"] = 0
        self.assertIn("async_cores: must be", worker.ask(apply={"pool": worker.pool}).refused.message)
        with worker.connect() as connection:
            self.assertEqual(connection.get("/").status, 200)

    def test_requests_are_listed_and_cancelled(self):
        worker = self.worker()
        worker.start()
        holder = self.hold_core(worker)
        listed = worker.ask(list_requests={"count_max": 10}).request_list.requests
        self.assertEqual([one.target for one in listed], ["/gate"])
        stack = worker.ask(get_stack={"request": listed[0].name}).stack_text
        self.assertIn("input_app.py", stack.python)
        self.assertTrue(worker.ask(cancel_request={"request": listed[0].name, "reason": "a test"}).HasField("cancelled"))
        self.assertEqual(holder.read_response().status, 503)
        refused = worker.ask(get_stack={"request": "987654321"}).refused
        self.assertTrue(refused.not_found)

    def test_a_socket_is_given_up_when_nothing_waits_in_it_any_more(self):
        worker = self.worker("response_app")
        worker.start()
        address = worker.sockets[0].getsockname()
        answer = worker.ask(stop_accepting={"addresses": [f"{address[0]}:{address[1]}"]})
        self.assertTrue(answer.HasField("stopped"))
        worker.tell(drain={"reason": "a test"})
        self.assertEqual(worker.wait(), 0)

    def observe(self, worker, wanted):
        """Waits until (generation, workers, cores) are what is observed."""
        while True:
            observed = worker.expect("observed").generations
            if [(one.generation, one.workers, one.cores) for one in observed] == wanted:
                return

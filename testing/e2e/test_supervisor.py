"""The master and its workers, without the API: deaths, reloads and scaling by signal, under load."""

import http.client
import os
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from fixture import APPS, Server, eventually, server_binary

USUAL = (r"^greenring: ", r"^\d{4}-\d\d-\d\d ", r"^\s", r"^Traceback", r"Error: ")


def workers_of(master_pid):
    """The processes that the master has started and not buried yet."""
    pids = []
    for task in os.listdir(f"/proc/{master_pid}/task"):
        with open(f"/proc/{master_pid}/task/{task}/children", encoding="ascii") as file:
            pids += [int(pid) for pid in file.read().split()]
    return pids


class Load:
    """Clients that ask one after the other, each time on a new connection, and count what fails."""

    def __init__(self, port, clients=4, path="/"):
        self.answers = {}
        self.failures = []
        self.served = 0
        self._port = port
        self._path = path
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(clients)]

    def _ask(self):
        while not self._stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                body = response.read().decode()
                with self._lock:
                    self.served += 1
                    if response.status != 200:
                        self.failures.append(f"{response.status} {body}")
                    else:
                        self.answers[body] = self.answers.get(body, 0) + 1
            except OSError as error:
                with self._lock:
                    self.failures.append(repr(error))
            except http.client.HTTPException as error:
                with self._lock:
                    self.failures.append(repr(error))
            finally:
                connection.close()

    def wait_for_more(self, count):
        wanted = self.served + count
        eventually(lambda: self.served >= wanted, f"{count} more answers")

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


class SupervisorTest(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.revision = os.path.join(self.directory.name, "revision")
        self.revise("one")

    def revise(self, revision):
        with open(self.revision, "w", encoding="utf-8") as file:
            file.write(revision)

    def server(self, *flags):
        return Server("supervised_app", "--control=off", *flags, master="on", usual=USUAL,
                      env={"GREENRING_TEST_REVISION": self.revision})

    def test_requests_are_spread_over_workers(self):
        with self.server("--workers=2") as server:
            with Load(server.port) as load:
                load.wait_for_more(400)
            self.assertEqual(load.failures, [])
            self.assertEqual(len(load.answers), 2)
            self.assertGreater(min(load.answers.values()), load.served / 4)

    def test_a_killed_worker_loses_its_own_requests_only(self):
        with self.server("--workers=2") as server:
            with Load(server.port, clients=4) as load:
                for _ in range(5):
                    load.wait_for_more(50)
                    victim = workers_of(server.pid)[0]
                    os.kill(victim, signal.SIGKILL)
                    eventually(lambda v=victim: v not in workers_of(server.pid) and len(workers_of(server.pid)) == 2,
                               "another worker")
                load.wait_for_more(50)
            # Each death takes at most what each client had in flight.
            self.assertLessEqual(len(load.failures), 5 * 4, load.failures)

    def test_the_only_worker_is_followed_soon_and_connections_wait(self):
        with self.server("--workers=1") as server:
            victim = workers_of(server.pid)[0]
            begin = time.monotonic()
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: victim not in workers_of(server.pid), "the death to be seen")
            with server.connect() as connection:
                self.assertEqual(connection.get("/").status, 200)
            print(f"    from kill -9 to an answer: {1000 * (time.monotonic() - begin):.0f} ms", flush=True)

    def test_a_reload_loses_nothing(self):
        with self.server("--workers=2") as server:
            with Load(server.port) as load:
                load.wait_for_more(100)
                self.revise("two")
                server.process.send_signal(signal.SIGHUP)
                eventually(lambda: any(body.endswith("two") for body in load.answers), "the new code")
                server.log.expect("operations/.*: done: reload pools/")
                load.wait_for_more(8)  # what old workers had answered, or were answering
                load.answers.clear()
                load.wait_for_more(100)
            self.assertEqual(load.failures, [])
            self.assertEqual({body.split()[1] for body in load.answers}, {"two"})

    def test_a_reload_of_broken_code_keeps_the_old(self):
        with self.server("--workers=2") as server:
            before = sorted(workers_of(server.pid))
            with Load(server.port) as load:
                self.revise("broken")
                server.process.send_signal(signal.SIGHUP)
                server.log.expect("operations/.*: failed: reload pools/.*")
                load.wait_for_more(100)
            self.assertEqual(load.failures, [])
            self.assertEqual({body.split()[1] for body in load.answers}, {"one"})
            self.assertEqual(sorted(workers_of(server.pid)), before)

    def test_scaling_by_signal_loses_nothing(self):
        with self.server("--workers=1") as server:
            with Load(server.port) as load:
                for count in (2, 3):
                    server.process.send_signal(signal.SIGTTIN)
                    server.log.expect("operations/.*: done: update pools/")
                    self.assertEqual(len(workers_of(server.pid)), count)
                    load.wait_for_more(100)
                for count in (2, 1):
                    server.process.send_signal(signal.SIGTTOU)
                    server.log.expect("operations/.*: done: update pools/")
                    eventually(lambda c=count: len(workers_of(server.pid)) == c, "the worker to drain")
                    load.wait_for_more(100)
            self.assertEqual(load.failures, [])

    def test_a_drain_finishes_what_is_in_flight(self):
        with self.server("--workers=2") as server:
            with server.connect() as connection:
                connection.send_request(target="/sleep?0.5")
                eventually(lambda: os.path.exists(self.revision + ".busy"), "the request to run")
                server.terminate()
                self.assertEqual(connection.read_response().status, 200)
            self.assertEqual(server.wait(), 0)

    def test_an_application_that_cannot_be_imported_is_said_and_ends_the_server(self):
        self.revise("broken")
        done = subprocess.run([server_binary(), "--app=supervised_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                               "--control=off", "--workers=2"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, timeout=30, check=False,
                              env={**os.environ, "GREENRING_TEST_REVISION": self.revision})
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"ImportError: this revision is broken", done.stderr)

    def test_workers_die_with_their_master(self):
        server = self.server("--workers=2").start()
        pids = workers_of(server.pid)
        server.kill()
        for pid in pids:
            eventually(lambda p=pid: not os.path.exists(f"/proc/{p}"), "the worker's end")


if __name__ == "__main__":
    unittest.main()

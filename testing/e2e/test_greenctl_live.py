"""greenctl against a whole server: what each command does to it, and the exit codes that scripts go by."""

import json
import os
import subprocess
import threading

from fixture import APPS, eventually
from greenctl import greenctl, greenctl_command
from master import MasterCase
from wrk import Wrk

DONE, FAILED, USAGE, NOT_FOUND, NO_SERVER, WRONG_VALUE, TIMED_OUT = 0, 1, 2, 3, 4, 6, 7
# What a worker logs of a request that was cancelled.
CANCELLED = (r"cancelled after", "^Traceback", "^ ", r"^greenring\.Cancelled: ")
# Of an application that cannot be imported.
BROKEN = (r"cannot import", "^Traceback", "^ ", r"^ImportError: this revision is broken$")


class GreenctlLive(MasterCase):
    def run_greenctl(self, server, *arguments, code=DONE):
        """stdout and stderr, after the exit code was as expected."""
        done = greenctl(server, *arguments)
        self.assertEqual(done.returncode, code, f"greenctl {arguments}:\n{done.stdout}{done.stderr}")
        return done.stdout, done.stderr

    def asked_json(self, server, *arguments):
        return json.loads(self.run_greenctl(server, *arguments, "-o", "json")[0])

    def hold(self, server, seconds=60):
        """A request that takes so long, seen in flight; its name, and a list that gets its status when it has ended."""
        ended = []

        def ask():
            with server.connect() as connection:
                try:
                    ended.append(connection.get(f"/hold?{seconds}").status)
                except AssertionError as error:
                    ended.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        self.addCleanup(thread.join, 20)
        requests = eventually(lambda: [one for one in server.requests() if one.State.Name(one.state) == "PARKED"],
                              "the request to be parked")
        return requests[0].name.removeprefix("pools/").replace("workers/", "").replace("requests/", ""), ended

    def test_get_and_describe(self):
        with self.master("--workers=2") as server:
            table, _ = self.run_greenctl(server, "get", "pools")
            self.assertRegex(table.splitlines()[1], r"^web +READY +2/2 +256 +UCONTEXT +256KiB +1 +0 ")
            pools = self.asked_json(server, "list", "pools")["pools"]
            self.assertEqual([(one["name"], one["workers"], one["status"]["state"]) for one in pools],
                             [("pools/web", 2, "READY")])
            workers = self.asked_json(server, "get", "workers")["workers"]
            self.assertEqual([one["pid"] for one in workers], [one.pid for one in server.workers()])
            told, _ = self.run_greenctl(server, "describe", "web/1")
            self.assertRegex(told, rf"Process: +{workers[0]['pid']}\n")
            told, _ = self.run_greenctl(server, "describe", "web")
            self.assertRegex(told, r"Workers: +2 ready of 2")
            self.assertEqual(self.run_greenctl(server, "get", "workers", "-o", "name")[0],
                             "pools/web/workers/1\npools/web/workers/2\n")

    def test_changes_wait_until_they_run(self):
        with self.master("--workers=1", "--async_cores=16") as server, Wrk(server.port) as load:
            for arguments, field, value in ((("set", "web", "async_cores=24", "timeouts.drain=10s"), "async_cores", 24),
                                            (("scale", "web", "3"), "workers", 3),
                                            (("engine", "web", "thread"), "engine", 3),
                                            (("engine", "web", "fcontext"), "engine", 2),
                                            (("set", "web", "stack_pages=32"), "stack_size_bytes", 128 * 1024),
                                            (("scale", "web", "1"), "workers", 1)):
                generation = server.pool().generation
                told, progress = self.run_greenctl(server, *arguments)
                pool = self.assert_observed(server)
                self.assertEqual((pool.generation, getattr(pool, field)), (generation + 1, value))
                self.assertRegex(told, rf"^web changed, generation {pool.generation}\b")
                self.assertIn("update web: ", progress)
        self.assertEqual(load.failures, {})

    def test_a_change_that_is_impossible_changes_nothing(self):
        with self.master() as server:
            _, told = self.run_greenctl(server, "set", "web", "workers=5000", "async_cores=-1", code=WRONG_VALUE)
            self.assertRegex(told, r"(?s)\n  workers: .*\n  async_cores: ")
            self.run_greenctl(server, "set", "web", "async_cores=12", "--dry-run")
            self.run_greenctl(server, "set", "nope", "async_cores=12", code=NOT_FOUND)
            self.run_greenctl(server, "sett", "web", "async_cores=12", code=USAGE)
            self.run_greenctl(server, "get", "pools", "nope", code=NOT_FOUND)
            self.assertEqual(server.pool().generation, 1)

    def test_reload_and_restart_replace_workers(self):
        revision = self.path("revision", "one")
        with self.master("--workers=2", env={"LIVE_APP_REVISION": revision}, usual=BROKEN) as server:
            before = {one.pid for one in server.workers()}
            self.path("revision", "two")
            self.assertRegex(self.run_greenctl(server, "reload", "web")[0], "^web reloaded")
            self.assertEqual(server.who()["revision"], "two")
            self.path("revision", "broken")
            _, told = self.run_greenctl(server, "reload", "web", code=FAILED)
            self.assertIn("this revision is broken", told)
            self.assertEqual(server.who()["revision"], "two")
            self.path("revision", "three")
            ready = [one for one in server.workers() if one.state == one.READY]
            self.assertTrue(before.isdisjoint(one.pid for one in ready))
            self.run_greenctl(server, "restart", ready[0].name.removeprefix("pools/").replace("workers/", ""))
            self.assertNotIn(ready[0].pid, [one.pid for one in server.workers() if one.state == one.READY])
            self.run_greenctl(server, "restart", "web/4711", code=NOT_FOUND)

    def test_a_request_is_seen_dumped_and_cancelled(self):
        with self.master("--workers=2", usual=CANCELLED) as server:
            name, ended = self.hold(server)
            self.assertRegex(self.run_greenctl(server, "ps")[0], rf"(?m)^{name} .* PARKED +clock_nanosleep .* /hold\?60$")
            self.assertRegex(self.run_greenctl(server, "stack", name)[0], r'live_app\.py", line \d+, in hold')
            self.assertEqual(self.asked_json(server, "get", "requests")["requests"][0]["target"], "/hold?60")
            self.assertEqual(self.run_greenctl(server, "cancel", name, "--reason", "enough")[0], f"{name} cancelled\n")
            eventually(lambda: ended == [503], "the client to be told")
            self.assertEqual(self.run_greenctl(server, "ps"), ("", "no requests in flight\n"))
            for command in ("stack", "cancel"):
                self.run_greenctl(server, command, name, code=NOT_FOUND)

    def test_drain_and_resume(self):
        with self.master("--workers=2") as server:
            name, ended = self.hold(server, seconds=1)
            self.assertRegex(self.run_greenctl(server, "drain", "web")[0], "^web drained")
            eventually(lambda: ended == [200], f"{name} to finish")
            self.assertEqual(server.workers(), [])
            self.assertRegex(self.run_greenctl(server, "get", "pools")[0], r"(?m)^web +DRAINED +0/")
            self.run_greenctl(server, "reload", "web", code=FAILED)
            self.assertRegex(self.run_greenctl(server, "resume", "web")[0], "^web resumed")
            self.assertTrue(server.who()["green"])

    def test_no_wait_timeout_and_cancel_of_an_operation(self):
        with self.master("--workers=1", "--async_cores=16") as server:
            self.hold(server, seconds=2)
            _, told = self.run_greenctl(server, "engine", "web", "thread", "--timeout", "200ms", code=TIMED_OUT)
            self.assertIn("greenctl get operations", told)
            told = "".join(self.run_greenctl(server, "engine", "web", "fcontext", "--no-wait"))
            self.assertIn("operations/2", told)
            self.assertFalse(server.api.call("OperationService", "GetOperation", name="operations/2").done)
            self.run_greenctl(server, "watch", "operations/2")
            self.assertEqual(self.assert_observed(server).engine, 2)
            told = "".join(self.run_greenctl(server, "engine", "web", "thread", "--canary", "50%", "--canary-duration",
                                             "600s", "--no-wait"))
            self.assertIn("operations/3", told)
            self.run_greenctl(server, "cancel", "operations/3")
            server.await_ready()
            self.assertEqual(self.assert_observed(server).engine, 2)
            operations = self.asked_json(server, "get", "operations")["operations"]
            self.assertEqual([one["name"] for one in operations], ["operations/3", "operations/2", "operations/1"])

    def test_apply_and_validate(self):
        with self.master() as server:
            text, _ = self.run_greenctl(server, "get", "pools", "web", "-o", "yaml")
            file = self.path("web.yaml", text)
            self.assertEqual(self.run_greenctl(server, "apply", "-f", file)[0], "web unchanged\n")
            self.run_greenctl(server, "validate", file)
            self.path("web.yaml", text.replace("async_cores: 256", "async_cores: 32"))
            self.run_greenctl(server, "apply", "-f", file)
            self.assertEqual(self.assert_observed(server).async_cores, 32)
            _, told = self.run_greenctl(server, "apply", "-f", file, code=FAILED)  # the etag in it is an old one by now
            self.assertIn("etag", told)
            new = f"""pools:
- name: second
  application: {{target: live_app, working_directory: {APPS}}}
  listeners: [{{address: "127.0.0.1:0"}}]
"""
            done = subprocess.run(greenctl_command("apply", "-f", "-"), input=new, env=server.environment(),
                                  capture_output=True, text=True, timeout=20, check=False)
            self.assertEqual(done.returncode, DONE, done.stderr)
            self.assert_observed(server, "second")
            self.run_greenctl(server, "delete", "second")
            self.run_greenctl(server, "get", "pools", "second", code=NOT_FOUND)
            bad = self.path("bad.yaml", new.replace("listeners", "listenerz"))
            for command in (("validate", bad), ("apply", "-f", bad)):
                _, told = self.run_greenctl(server, *command, code=WRONG_VALUE)
                self.assertRegex(told, rf"{bad}:4:\d+: pools\[0\]\.listenerz: .*listeners")

    def test_events_and_watch(self):
        with self.master("--workers=1", "--async_cores=16") as server, Wrk(server.port):
            follow = greenctl_command("events", "--follow", "-o", "json")
            with subprocess.Popen(follow, env=server.environment(), stdout=subprocess.PIPE, text=True) as follower:
                self.run_greenctl(server, "scale", "web", "2")
                kinds = set()
                while not {"OPERATION_DONE", "WORKER_READY"} <= kinds:
                    kinds.add(json.loads(follower.stdout.readline())["event"]["kind"])
                follower.terminate()
            listed, _ = self.run_greenctl(server, "events")
            for kind in ("WORKER_STARTED", "WORKER_READY", "OPERATION_STARTED", "OPERATION_DONE"):
                self.assertIn(kind, listed)
            server.await_more_requests()
            lines = self.run_greenctl(server, "watch", "web", "--count", "3", "--interval", "500ms")[0].splitlines()
            self.assertEqual(len(lines), 4, lines)
            column = lines[0].split().index("REQ/S")
            for line in lines[1:]:
                self.assertRegex(line.split()[column], r"^[1-9][\d.]*k?$")

    def test_without_a_server_the_exit_code_says_so(self):
        with self.master() as server:
            pass
        self.assertFalse(os.path.exists(server.socket))
        _, told = self.run_greenctl(server, "get", "pools", code=NO_SERVER)
        self.assertIn("is the server running?", told)

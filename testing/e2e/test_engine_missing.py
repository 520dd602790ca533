"""An engine whose library is missing: refused at the start and when it is asked for later, with what to install."""

import os

from fixture import APPS, eventually, run_to_exit
from greenctl import greenctl
from master import MasterCase

ENGINES = ("gevent", "greenlet")


class EngineMissing(MasterCase):
    def environment(self):
        """For a server whose Python has neither library."""
        for name in ENGINES:
            self.path(f"{name}.py", f"raise ImportError('no {name} here')\n")
        return {**os.environ, "PYTHONPATH": self.directory}

    def assert_told(self, text, engine):
        self.assertRegex(text, rf"needs the Python package {engine} \(Debian: python3-{engine}\): .*no {engine} here")

    def test_a_start_is_refused(self):
        for flags, library in (("--engine=gevent",), "gevent"), (("--engine=greenlet",), "greenlet"), (
                ("--gevent_monkey_patch",), "gevent"):
            for master in ("on", "off"):
                with self.subTest(flags=flags, master=master):
                    code, _, told = run_to_exit("--app=live_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                                f"--master={master}", *flags, env=self.environment())
                    self.assertEqual(code, 1)
                    self.assert_told(told, library)
                    self.assertNotIn("Traceback", told)

    def test_a_live_change_is_refused_and_nothing_else_happens(self):
        with self.master("--workers=2", env=self.environment()) as server:
            before, engine_before = server.who(), server.pool().engine
            for engine in ENGINES:
                done = greenctl(server, "engine", "web", engine)
                self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
                self.assert_told(done.stderr, engine)
                self.assertIn("rolled back", done.stderr)
                self.assertEqual(server.pool().engine, engine_before)
                self.assertEqual(server.who()["green"], before["green"])
            self.assertEqual(greenctl(server, "engine", "web", "fcontext").returncode, 0)
            eventually(lambda: len(server.workers()) == 2, "the same two workers")

    def test_patching_is_refused_and_the_old_workers_stay(self):
        usual = (r"could not be started", r"needs the Python package")
        with self.master(env=self.environment(), usual=usual) as server:
            pids = [worker.pid for worker in server.workers()]
            done = greenctl(server, "set", "web", "gevent.monkey_patch=true")
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assert_told(done.stderr, "gevent")
            self.assertEqual([worker.pid for worker in server.workers()], pids)
            self.assertFalse(server.pool().gevent.monkey_patch)

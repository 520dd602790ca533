"""tools/gdb/greenring.py on the running server and on its core file."""

import os
import re
import resource
import shutil
import signal
import subprocess
import tempfile
import unittest

from case import on_each_engine
from fixture import APPS, ROOT, eventually, server_binary
from test_dump import DumpCase

SCRIPT = os.path.join(ROOT, "tools", "gdb", "greenring.py")


def gdb(*arguments):
    """What gdb prints for the arguments."""
    return subprocess.run(["gdb", "-batch", "-nx", *arguments], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL).stdout


@unittest.skipUnless(shutil.which("gdb"), "gdb is not installed")
@unittest.skipUnless(os.uname().machine == "x86_64", "the script knows the stacks of x86-64 only")
class GdbCase(DumpCase):
    def attach(self, *commands):
        return gdb("-p", str(self.server.pid), "-x", SCRIPT, *[word for each in commands for word in ("-ex", each)])

    def assert_stack_of_a_receive(self, output):
        self.assertIn("sock_recv", output)
        for function in ("greenring::pyhost::WsgiHandler::Handle", "greenring::green::Scheduler::ThreadMain"):
            self.assertIn(function, output)


@on_each_engine
class Attached(GdbCase):
    def test_the_running_server(self):
        waiting = self.send_all(["/recv?gdb", "/event?gdb"])
        receiving = self.await_call("recv")
        self.await_thread("a wait for a lock", lambda thread: thread["call"] and "sem_" in thread["call"])
        output = self.attach("greenring threads", f"greenring stack {receiving['id']}",
                             f"greenring apply {receiving['id']} info frame", "greenring stack 4711")
        self.assertRegex(output, rf"(?m)^ +{receiving['id']} core +parked +\d+\.\d+ s  in recv  fd {receiving['fd']}$")
        self.assertRegex(output, r"(?m)^ +\d+ core +parked .* in sem_\w+  at 0x[0-9a-f]+$")
        self.assertRegex(output, r"(?m)^ +\d+ main +parked .* in signals$")
        self.assert_stack_of_a_receive(output)
        self.assertIn("Stack level 1", output)
        self.request("GET", "/send?gdb")
        self.request("GET", "/go?gdb")
        self.read_all(waiting)  # it was not disturbed


@on_each_engine
class Core(GdbCase):
    def test_a_core_file(self):
        with open("/proc/sys/kernel/core_pattern") as pattern:
            if pattern.read().strip() != "core":
                self.skipTest("core files go elsewhere: kernel.core_pattern is not `core`")
        with tempfile.TemporaryDirectory() as directory:
            os.symlink(os.path.join(APPS, "dump_app.py"), os.path.join(directory, "dump_app.py"))
            os.symlink(os.path.join(APPS, "routes.py"), os.path.join(directory, "routes.py"))
            core = self.make_core(directory)
            output = gdb(server_binary(), core, "-x", SCRIPT, "-ex", "greenring threads", "-ex", "greenring stack all")
        self.assertRegex(output, r"(?m)^ +\d+ core +parked +\d+\.\d+ s  in recv  fd \d+$")
        self.assert_stack_of_a_receive(output)

    def make_core(self, directory):
        """Of a server of its own that is parked in a receive."""
        server = type(self.server)("dump_app", engine=self.engine, chdir=directory)
        server.start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        unlimited = resource.RLIM_INFINITY
        hard = resource.prlimit(server.pid, resource.RLIMIT_CORE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_CORE, (hard, hard))
        if hard != unlimited:
            self.skipTest("core files are limited")
        with server.connect() as connection:
            connection.send_request("GET", "/recv?core")
            with server.connect() as other:
                eventually(lambda: b'"recv"' in other.get("/threads").body, "a green thread in recv")
                server.process.send_signal(signal.SIGABRT)
                server.process.wait(60)
        cores = [name for name in os.listdir(directory) if re.match(r"core(\.\d+)?$", name)]
        self.assertEqual(len(cores), 1, os.listdir(directory))
        return os.path.join(directory, cores[0])

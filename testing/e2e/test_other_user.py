"""Who may call: root and the server's own user. Anybody else is refused, and whoever changes something is in the log."""

import os
import pwd
import subprocess
import sys
import unittest

import grpc

from greenctl import greenctl_command
from fixture import DEADLINE_S
from master import MasterCase

NOBODY = pwd.getpwnam("nobody")
REFUSED = ("UNAVAILABLE", "PERMISSION_DENIED")  # the connection is closed, before gRPC could say why
TESTING = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Prints the code of the answer to UpdatePool.
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import grpc
from components.reflection import Api
try:
    with Api("unix:" + sys.argv[2]) as api:
        api.call("PoolService", "UpdatePool", pool={"name": "pools/web", "asyncCores": 12}, updateMask="asyncCores")
    print("OK")
except grpc.RpcError as error:
    print(error.code().name)
"""


@unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
class OtherUser(MasterCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)  # else the directory keeps others away already

    def run_as(self, user, *command):
        setpriv = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return subprocess.run([*setpriv, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=DEADLINE_S, check=False)

    def update_as(self, user, server):
        done = self.run_as(user, sys.executable, "-B", "-c", PROGRAM, TESTING, server.socket)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def test_another_user_is_refused_whatever_the_files_mode(self):
        with self.master(usual=("refused a connection",)) as server:
            for mode in (0o600, 0o666):
                with self.subTest(mode=mode):
                    os.chmod(server.socket, mode)
                    self.assertIn(self.update_as(NOBODY, server), REFUSED)
            server.log.expect(rf"refused a connection from uid {NOBODY.pw_uid}, pid \d+")
            pool = self.assert_observed(server)
            self.assertEqual((pool.generation, pool.async_cores), (1, 256))

    def test_greenctl_says_so_and_whom_to_ask(self):
        with self.master() as server:
            done = self.run_as(NOBODY, *greenctl_command("set", "web", "async_cores=12", "-s", f"unix:{server.socket}"))
            self.assertEqual(done.returncode, 5, done.stderr)
            self.assertIn("root", done.stderr)
            self.assertEqual(server.pool().generation, 1)

    def test_root_is_let_in_and_named_in_the_log(self):
        with self.master() as server:
            self.assertEqual(self.update_as(pwd.getpwuid(0), server), "OK")
            server.log.expect(r"api: uid 0 \(root\), pid \d+: UpdatePool pools/web: OK, operations/1$")

    def test_the_servers_own_user_and_root_are_let_in(self):
        prefix = ("setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups")
        os.chown(self.directory, NOBODY.pw_uid, NOBODY.pw_gid)
        with self.master(prefix=prefix) as server:
            self.assertEqual(self.update_as(NOBODY, server), "OK")
            server.log.expect(rf"api: uid {NOBODY.pw_uid} \(nobody\), pid \d+: UpdatePool pools/web: OK, operations/1$")
            self.assertEqual(self.update_as(pwd.getpwuid(0), server), "OK")
            daemon = pwd.getpwnam("daemon")
            os.chmod(server.socket, 0o666)
            self.assertIn(self.update_as(daemon, server), REFUSED)
            server.log.expect(rf"refused a connection from uid {daemon.pw_uid}")


class CallLog(MasterCase):
    def test_every_call_that_changes_something_is_logged_with_its_caller_also_when_it_is_refused(self):
        with self.master() as server:
            me = rf"greenring: api: uid {os.getuid()} \(\w+\), pid {os.getpid()}: "
            operation = server.update(asyncCores=12)
            server.log.expect(me + f"UpdatePool pools/web: OK, {operation.name}$")
            self.assert_done(server, operation)
            for fields, code in (({"asyncCores": -1}, "INVALID_ARGUMENT"), ({"asyncCores": 8, "etag": "old"}, "ABORTED")):
                with self.assertRaises(grpc.RpcError):
                    server.update(mask="asyncCores", **fields)
                server.log.expect(me + f"UpdatePool pools/web: {code}")
            worker = server.workers()[0]
            operation = server.api.call("WorkerService", "RestartWorker", name=worker.name)
            server.log.expect(me + f"RestartWorker {worker.name}: OK, {operation.name}$")
            self.assert_done(server, operation)
            for method in ("ReloadPool", "DrainPool", "ResumePool"):
                operation = server.change(method)
                server.log.expect(me + f"{method} pools/web: OK, {operation.name}$")
                server.finish(operation)
            self.assertEqual(operation.caller, f"uid {os.getuid()} ({pwd.getpwuid(os.getuid()).pw_name}), "
                                               f"pid {os.getpid()}")

    def test_a_call_that_reads_is_not(self):
        with self.master() as server:
            server.pool()
            server.workers()
            server.requests()
            server.events("WORKER_READY")
        self.assertFalse([line for line in server.log.lines if ": api: " in line])

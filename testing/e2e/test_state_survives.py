"""What was changed over the API is there after the server's next start, however it ended; and what cannot be read or
written changes nothing."""

import os
import signal

import grpc

from fixture import APPS, run_to_exit
from master import MasterCase


class StateSurvives(MasterCase):
    def setUp(self):
        super().setUp()
        self.state = self.path("state")
        self.file = os.path.join(self.state, "state.textproto")

    def server(self, *flags):
        return self.master("--workers=1", "--async_cores=16", f"--state_dir={self.state}", *flags)

    def change_everything(self, server):
        self.assert_done(server, server.update(asyncCores=12, engine="FCONTEXT", timeouts={"request": "7s"}))
        self.assert_done(server, server.update(workers=2))
        created = server.api.call("PoolService", "CreatePool", poolId="second", pool={
            "application": {"target": "live_app", "workingDirectory": APPS}, "listeners": [{"address": "127.0.0.1:0"}]})
        self.assert_done(server, created)

    def assert_all_is_there(self, server):
        pool = self.assert_observed(server)
        self.assertEqual((pool.async_cores, pool.workers, pool.timeouts.request.seconds), (12, 2, 7))
        self.assertEqual(pool.engine, 2)  # FCONTEXT
        self.assert_observed(server, "second")
        self.assertEqual(server.who()["green"], True)

    def test_a_stop(self):
        with self.server() as server:
            self.change_everything(server)
            generation = server.pool().generation
        with self.server() as server:
            self.assert_all_is_there(server)
            self.assertGreaterEqual(server.pool().generation, generation)

    def test_kill_9(self):
        server = self.server().start()
        self.addCleanup(lambda: server.process.poll() is None and server.kill())
        self.change_everything(server)
        server.kill()
        server.api.close()
        with self.server() as server:
            self.assert_all_is_there(server)

    def test_a_deleted_pool_stays_deleted_and_a_drained_one_drained(self):
        with self.server() as server:
            self.change_everything(server)
            self.assert_done(server, server.change("DeletePool", "second"))
            self.assert_done(server, server.change("DrainPool"))
        with self.server() as server:
            pools = server.api.call("PoolService", "ListPools").pools
            self.assertEqual([(one.name, one.drained) for one in pools], [("pools/web", True)])
            self.assert_done(server, server.change("ResumePool"))
            self.assertEqual(server.who()["green"], True)

    def test_without_a_state_directory_the_flags_hold_again(self):
        with self.master("--async_cores=16") as server:
            self.assert_done(server, server.update(asyncCores=12))
        with self.master("--async_cores=16") as server:
            self.assertEqual(server.pool().async_cores, 16)

    def test_a_corrupt_file_is_refused_and_left_as_it_is(self):
        with self.server() as server:
            self.change_everything(server)
        with open(self.file, "rb") as file:
            good = file.read()
        for bad in (good[:len(good) // 2], b"", b"pools {\n  nonsense: 1\n}\n# end\n", bytes(range(256)) * 4,
                    good.replace(b"async_cores: 12", b"async_cores: -12")):
            with self.subTest(bad=bad[:40]):
                with open(self.file, "wb") as file:
                    file.write(bad)
                code, _, stderr = run_to_exit("--app=live_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                              f"--state_dir={self.state}")
                self.assertEqual(code, 1, stderr)
                self.assertIn(self.file, stderr)
                self.assertNotIn("ready", stderr)
                with open(self.file, "rb") as file:
                    self.assertEqual(file.read(), bad)
        with open(self.file, "wb") as file:
            file.write(good)
        with self.server() as server:
            self.assert_all_is_there(server)

    def test_what_cannot_be_written_is_refused_and_changes_nothing(self):
        with self.server() as server:
            self.assert_done(server, server.update(asyncCores=12))
            with open(self.file, "rb") as file:
                kept = file.read()
            os.mkdir(self.file + ".new")  # where it writes first; root may write into any directory
            with self.assertRaises(grpc.RpcError) as caught:
                server.update(asyncCores=20)
            self.assertIn(self.state, caught.exception.details())
            pool = self.assert_observed(server)
            self.assertEqual((pool.generation, pool.async_cores), (2, 12))
            with open(self.file, "rb") as file:
                self.assertEqual(file.read(), kept)
            os.rmdir(self.file + ".new")
            self.assert_done(server, server.update(asyncCores=20))

    def test_one_server_has_a_directory(self):
        with self.server() as server:
            code, _, stderr = run_to_exit("--app=live_app", f"--chdir={APPS}", "--http=127.0.0.1:0",
                                          f"--state_dir={self.state}")
            self.assertEqual(code, 1, stderr)
            self.assertIn(self.state, stderr)
            self.assertEqual(server.who()["green"], True)


class ConfigurationFile(MasterCase):
    GOOD = f"""pools:
  - name: web
    application: {{target: live_app, working_directory: {APPS}}}
    listeners: [{{address: "127.0.0.1:0"}}]
    async_cores: 16
"""
    BAD = {  # what is wrong, and how it is told
        "async_cores: 16": {"async_kores: 16": r":5:\d+: pools\[0\]\.async_kores: .*async_cores",
                            "async_cores: many": r":5:\d+: pools\[0\]\.async_cores: ",
                            "async_cores: -1": r":5:\d+: pools\[0\]\.async_cores: ",
                            "timeouts: {drain: 5 parsecs}": r":5:\d+: pools\[0\]\.timeouts\.drain: ",
                            "engine: STEAM": r":5:\d+: pools\[0\]\.engine: ",
                            "async_cores: [16": r":\d+:\d+: "},
    }

    def each_bad(self):
        for good, bads in self.BAD.items():
            for bad, told in bads.items():
                yield self.GOOD.replace(good, bad), told

    def test_a_bad_one_is_refused_at_the_start_with_file_line_and_field(self):
        for text, told in self.each_bad():
            with self.subTest(told=told):
                file = self.path("greenring.yaml", text)
                code, _, stderr = run_to_exit(f"--config={file}", "--control=off")
                self.assertEqual(code, 2, stderr)
                self.assertRegex(stderr, file + told)

    def test_a_bad_one_at_sighup_is_told_and_the_old_one_serves_on(self):
        file = self.path("greenring.yaml", self.GOOD)
        with self.master(config=file) as server:
            before = [one.pid for one in server.workers()]
            for text, told in self.each_bad():
                self.path("greenring.yaml", text)
                server.process.send_signal(signal.SIGHUP)
                server.log.expect(file + told)
            self.assertEqual([one.pid for one in server.workers()], before)
            self.assertEqual(self.assert_observed(server).generation, 1)
            self.path("greenring.yaml", self.GOOD.replace("16", "24"))
            server.process.send_signal(signal.SIGHUP)
            server.log.expect("operations/.*: done: ")
            self.assertEqual(server.pool().async_cores, 24)
            self.assertEqual(server.who()["green"], True)

    def test_a_pool_that_was_changed_over_the_api_is_not_the_files_any_more(self):
        file = self.path("greenring.yaml", self.GOOD)
        with self.master(config=file) as server:
            self.assert_done(server, server.update(asyncCores=12))
            self.path("greenring.yaml", self.GOOD.replace("16", "24"))
            server.process.send_signal(signal.SIGHUP)
            server.log.expect("async_cores")
            server.log.expect("operations/.*: done: reload")
            self.assertEqual(server.pool().async_cores, 12)

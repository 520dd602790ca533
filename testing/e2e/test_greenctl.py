"""greenctl as a process: signals, pipes, other users, and completion in a shell. What commands print is tested in
tools/greenctl/run_command_test.cc."""

import json
import os
import pwd
import signal
import subprocess
import unittest

from fixture import DEADLINE_S, eventually
from greenctl import FakeServer, Terminal, greenctl, greenctl_command


class GreenctlProcess(unittest.TestCase):
    def setUp(self):
        self.server = FakeServer().start()
        self.addCleanup(self.server.__exit__)

    def test_json_is_for_scripts(self):
        done = greenctl(self.server, "get", "requests", "-o", "json")
        self.assertEqual(done.returncode, 0, done.stderr)
        requests = json.loads(done.stdout)["requests"]
        self.assertEqual([request["call"] for request in requests][:2], ["recv", "nanosleep"])

    def test_ctrl_c_ends_the_waiting_and_not_the_operation(self):
        self.server.stop()
        self.server._step = "1h"
        self.server.start()
        process = subprocess.Popen(greenctl_command("reload", "web"), env=self.server.environment(),
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stderr.close)
        self.assertIn("reload web", process.stderr.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE_S), 130)
        self.assertIn("greenctl watch operations/1", process.stderr.read())
        self.assertIn("operations/1", greenctl(self.server, "get", "operations").stdout)

    def test_ctrl_c_ends_what_does_not_wait(self):
        process = subprocess.Popen(greenctl_command("apply", "-f", "-"), env=self.server.environment(),
                                   stdin=subprocess.PIPE)
        self.addCleanup(process.stdin.close)
        eventually(lambda: "SigBlk:\t0000000000004003" in open(f"/proc/{process.pid}/status", encoding="ascii").read(),
                   "the signals to be taken over")
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(DEADLINE_S), 130)

    def test_progress_in_a_terminal_is_one_line(self):
        with Terminal(greenctl_command("reload", "web"), self.server.environment()) as terminal:
            terminal.wait_for("exit code 0")
            self.assertRegex(terminal.lines()[0], r"^web reloaded")
            self.assertEqual(terminal.lines()[1], "exit code 0")

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to be somebody else")
    def test_another_user_is_refused_and_told_whom_to_ask(self):
        nobody = pwd.getpwnam("nobody")
        os.chmod(self.server.directory, 0o755)
        done = subprocess.run(["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups",
                               *greenctl_command("get", "pools")], env=self.server.environment(),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=False)
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("root", done.stderr)

    def test_a_pipe_that_is_closed_is_no_error_message(self):
        done = subprocess.run(["bash", "-c", '"$0" get pools | head -1', *greenctl_command()],
                              env=self.server.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=DEADLINE_S, check=True)
        self.assertEqual((len(done.stdout.splitlines()), done.stderr), (1, ""))


class GreenctlCompletion(unittest.TestCase):
    def setUp(self):
        self.server = FakeServer().start()
        self.addCleanup(self.server.__exit__)

    def complete(self, line):
        """What bash makes of `line` and a Tab: the candidates, as readline gets them."""
        directory = os.path.dirname(greenctl_command()[0])
        script = f"""PATH={directory}:$PATH
source <(greenctl completion bash)
COMP_LINE={line!r}; COMP_POINT=${{#COMP_LINE}}
compopt() {{ :; }}
_greenctl; printf '%s\\n' "${{COMPREPLY[@]}}" """
        done = subprocess.run(["bash", "-c", script], env=self.server.environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, check=True)
        self.assertEqual(done.stderr, "")
        return done.stdout.split()

    def test_scripts_are_valid(self):
        for shell in ("bash", "zsh", "fish"):
            script = greenctl(self.server, "completion", shell).stdout
            self.assertIn("__complete", script)
            checker = subprocess.run(["sh", "-c", f"command -v {shell}"], stdout=subprocess.DEVNULL, check=False)
            if checker.returncode == 0:
                subprocess.run([shell, "-n"], input=script, text=True, check=True, timeout=DEADLINE_S)

    def test_bash_completes_commands_names_and_fields(self):
        self.assertEqual(self.complete("greenctl rel"), ["reload"])
        self.assertEqual(self.complete("greenctl reload "), ["api", "web"])
        self.assertEqual(self.complete("greenctl set web timeouts.dr"), ["timeouts.drain="])
        self.assertEqual(self.complete("greenctl get pools -o ya"), ["yaml"])

    def test_bash_completes_in_a_terminal(self):
        directory = os.path.dirname(greenctl_command()[0])
        with Terminal(["bash", "--norc", "-i"], self.server.environment()) as terminal:
            terminal.type(f"PATH={directory}:$PATH; source <(greenctl completion bash); PS1=ready:", "Enter")
            terminal.wait_for("ready:")
            terminal.type("greenctl rel", "Tab", "w", "Tab")
            terminal.wait_for("greenctl reload web")


if __name__ == "__main__":
    unittest.main()

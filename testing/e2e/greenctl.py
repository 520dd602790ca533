"""greenctl and a server that exists only in memory, for tests of the command line and its screens.

    with FakeServer() as server:
        result = greenctl(server, "get", "pools")      # a subprocess.CompletedProcess, with text
        with Terminal(greenctl_command("top"), server.environment()) as terminal:
            terminal.wait_for("q quit")
            terminal.type("q")

The binaries are those of `bazel build greenctl control/service:fake_server`, beside the server's.
"""

import os
import shlex
import shutil
import subprocess
import tempfile

from fixture import DEADLINE_S, eventually, server_binary


def _binary(path, variable):
    binary = os.environ.get(variable) or os.path.join(os.path.dirname(server_binary()), path)
    if not os.access(binary, os.X_OK):
        raise AssertionError(f"{binary} is missing: bazel build greenctl control/service:fake_server, or set {variable}")
    return binary


def greenctl_command(*arguments):
    return [_binary("tools/greenctl/greenctl", "GREENRING_GREENCTL"), *arguments]


def greenctl(server, *arguments, **options):
    return subprocess.run(greenctl_command(*arguments), env=server.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=DEADLINE_S, **options)


class FakeServer:
    """pools/api and pools/web with four requests in flight; an operation takes a step every `step`."""

    def __init__(self, step="20ms"):
        self.directory = tempfile.mkdtemp(prefix="greenctl-")
        self.address = f"unix:{self.directory}/socket"
        self._step = step
        self._process = None

    def environment(self):
        return {**os.environ, "GREENRING_CONTROL": self.address, "LC_ALL": "C.UTF-8"}

    def start(self):
        self._process = subprocess.Popen(
            [_binary("control/service/fake_server", "GREENRING_FAKE_SERVER"), f"--control={self.address}",
             f"--step={self._step}"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = self._process.stdout.readline()
        if not line.startswith("ready"):
            raise AssertionError(f"the server said {line!r}")
        return self

    def stop(self):
        self._process.terminate()
        self._process.wait(DEADLINE_S)
        self._process.stdout.close()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Terminal:
    """A program in a terminal of tmux, of 80 by 24 unless said otherwise. When it ends, its exit code is on the screen."""

    def __init__(self, command, environment, width=80, height=24):
        self._socket = tempfile.mktemp(prefix="greenctl-tmux-")
        variables = [f"{name}={environment[name]}" for name in ("GREENRING_CONTROL", "LC_ALL")]
        shell = f"env {shlex.join(variables)} {shlex.join(command)}; echo \"exit code $?\"; exec cat"
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), shell)

    def _tmux(self, *arguments):
        done = subprocess.run(["tmux", "-u", "-S", self._socket, *arguments], stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=DEADLINE_S, check=True)
        return done.stdout

    def lines(self):
        return self._tmux("capture-pane", "-p").split("\n")

    def text(self):
        return "\n".join(self.lines())

    def type(self, *keys):
        """Keys as tmux names them: "q", "Down", "Enter", "C-c"."""
        self._tmux("send-keys", *keys)

    def resize(self, width, height):
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def process_id(self, name):
        """Of the program's process: the terminal's shell waits for it."""
        shell = self._tmux("list-panes", "-F", "#{pane_pid}").strip()
        children = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", shell], stdout=subprocess.PIPE, text=True,
                                  check=True).stdout.split("\n")
        return next(int(line.split()[0]) for line in children if line.split()[1:] == [name])

    def in_alternate_screen(self):
        return self._tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def wait_for(self, text):
        try:
            eventually(lambda: text in self.text(), f"{text!r} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}; it shows\n{self.text()}") from None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["tmux", "-S", self._socket, "kill-server"], stderr=subprocess.DEVNULL, check=False)
        if os.path.exists(self._socket):
            os.unlink(self._socket)

"""A program that serves on a port until it is stopped: what the databases have in common."""

import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
_UNPRIVILEGED = "nobody"


class Daemon:
    """Base of a program. A subclass says how it is prepared, started, asked whether it serves, and stopped."""

    stop_signal = signal.SIGTERM

    def __init__(self, prepare_process=None):
        """`prepare_process` is called in the program's process before it becomes the program."""
        self.port = None
        self._prepare_process = prepare_process
        self.directory = None
        self._process = None

    # What a subclass says

    def prepare(self):
        """Makes what the program needs in `directory`, once, before `command` is asked for."""

    def command(self):
        raise NotImplementedError

    def answers(self):
        """Whether the program serves: true, false or an exception."""
        raise NotImplementedError

    # Life

    def start(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="greenring-"))
        self.port = free_port()
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.directory, user.pw_uid, user.pw_gid)
        try:
            self.prepare()
            with self.log_path.open("wb") as log:
                self._process = subprocess.Popen(self._unprivileged(self.command()), stdin=subprocess.DEVNULL,
                                                 stdout=log, stderr=log, cwd=self.directory,
                                                 preexec_fn=self._prepare_process)
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        if self._process is not None:
            self._process.send_signal(self.stop_signal)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None
        if self.directory is not None:
            shutil.rmtree(self.directory, ignore_errors=True)
            self.directory = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    # For subclasses

    @property
    def log_path(self):
        return self.directory / "log"

    def run(self, *words):
        """Runs a program that prepares something, as the user that owns the directory."""
        done = subprocess.run(self._unprivileged(words), cwd=self.directory, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]}: exit {done.returncode}: {done.stdout}{done.stderr}")

    def _unprivileged(self, words):
        # The signal at this process's death is the last thing set: the kernel forgets it when the user changes.
        command = ["setpriv", f"--pdeathsig={self.stop_signal.name.removeprefix('SIG')}"]
        if os.geteuid() == 0:
            group = pwd.getpwnam(_UNPRIVILEGED).pw_gid
            command += [f"--reuid={_UNPRIVILEGED}", f"--regid={group}", "--clear-groups"]
        return command + list(map(str, words))

    def _wait_until_it_answers(self):
        deadline, last = time.monotonic() + START_TIMEOUT_S, None
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if self.answers():
                    return
            except Exception as error:  # each driver has its own for "not yet"
                last = error
            time.sleep(0.02)
        log = self.log_path.read_text(errors="replace")[-3000:]
        raise RuntimeError(f"{type(self).__name__} does not answer ({last}). Its output:\n{log}")


def free_port():
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

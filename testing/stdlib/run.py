#!/usr/bin/python3.11
"""Runs CPython's own test modules by python3.11 and by green_python, and compares each test's outcome.

    run.py --green=PATH [--short] [MODULE...]         a module is test_socket, or test_asyncio.test_events

A test whose outcomes differ is run again by both, alone with the others that differ, at most twice: only what differs
every time is a difference. Those of differences.txt are known. A line a module; then what is not as differences.txt
says; the last line is `N passed, N failed`, where what passes or fails is a test of CPython's. The exit code is 0 if
every difference is known and every known one, of the modules that ran, is still there.
"""

import argparse
import collections
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
DIFFERENCES = os.path.join(HERE, "differences.txt")
PLAIN = "/usr/bin/python3.11"
TEST_FOLDER = "/usr/lib/python3.11/test"

# Seconds each, by either interpreter, and no test that fails now and then.
SHORT = """
    test_selectors test_queue test_threadsignals test_wait3 test_asyncio.test_streams test_httpservers test_select
    test_thread test_context test_socketserver test_threading_local test_sched test_fileio test_epoll
""".split()

FULL = """
    test_socket test_ssl test_select test_selectors test_poll test_epoll test_thread test_threading test_threading_local
    test_threadedtempfile test_queue test_subprocess test_httplib test_httpservers test_socketserver
    test_concurrent_futures test_asyncio test_contextlib test_contextlib_async test_context test_time test_os test_io
    test_fileio test_signal
    test_fork1 test_wait3 test_wait4 test_popen test_posix test_pty test_openpty test_fcntl test_file test_file_eintr
    test_eintr test_threadsignals test_faulthandler test_sched test_timeout test_mmap test_tempfile test_shutil test_bufio
    test_asyncore test_asynchat test_urllib2_localnet test_ftplib test_smtplib test_telnetlib test_poplib test_imaplib
    test_xmlrpc test_docxmlrpc test_wsgiref test_logging test_sqlite3 test_zipfile test_ctypes test_gc test_weakref
    test_sys test_sys_settrace test_sys_setprofile test_atexit test_exceptions test_generators test_coroutines
    test_asyncgen test_multiprocessing_main_handling
""".split()

# Some need what the others do not want: regrtest's -u.
RESOURCES = {"test_socketserver": "network"}

PLAIN_STALL_S = 120  # without a test that ends: the process hangs
GREEN_STALL_S = 60  # likewise, and five times what the test took by the plain interpreter
EXIT_S = 30  # from the last test to the end of the process
RESUMES_MAX = 8  # of a module whose process hung or died
RERUNS_MAX = 2

BAD_ENDS = ("hang", "crash")
WORST_LAST = ("ok", "expected failure", "skip", "unexpected success", "fail", "error", "crash", "hang")


class ModuleRun:
    """One module by one interpreter: `outcomes` by test, and how long each took."""

    def __init__(self, interpreter, module, logs, tag, stall_s):
        self._interpreter = interpreter
        self._module = module
        self._path = os.path.join(logs, f"{module}.{tag}")
        self._stall_s = stall_s  # of a test's name
        self.outcomes = {}
        self.seconds = {}
        self.exit_code = None

    def run(self, only=None):
        """All tests, or these. A process that hangs or dies is followed by one that runs the rest."""
        started = time.monotonic()
        for attempt in range(RESUMES_MAX + 1):
            ended_in = self._run_process(f"{self._path}.{attempt}" if attempt else self._path, only)
            if ended_in is None:
                break
        self.wall_s = time.monotonic() - started
        return self

    def _run_process(self, path, only):
        """The test that the process died or was killed in; None if it ran to its end."""
        open(path + ".events", "w").close()
        command = [self._interpreter, os.path.join(HERE, "run_module.py"), path + ".events", "-v"]
        command += ["-u", RESOURCES.get(self._module, "cpu")]
        for option, names in (("--matchfile", only), ("--ignorefile", self._ended_tests())):
            if names:
                with open(path + option, "w") as file:
                    file.write("".join(f"{name}\n" for name in sorted(names)))
                command += [option, path + option]
        with tempfile.TemporaryDirectory(prefix="stdlib-") as folder:
            environment = {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}
            with open(path + ".output", "wb") as output:
                process = subprocess.Popen(command + ["--tempdir", folder, self._module], stdin=subprocess.DEVNULL,
                                           stdout=output, stderr=output, env=environment, cwd=folder,
                                           start_new_session=True)
            test, hung = self._follow(process, path + ".events")
            self._end_group(process, hung)
        self.exit_code = process.returncode
        if test is None:
            return None
        self._note(test, "hang" if hung else "crash")
        return test

    def _follow(self, process, path):
        """Reads events until the process ends or hangs: (the test it was in, whether it hangs)."""
        test, alive_s = None, time.monotonic()
        with open(path) as events:
            while True:
                code = process.poll()
                lines = events.read().splitlines()
                for event in map(json.loads, lines):
                    alive_s = time.monotonic()
                    test = event.get("start")
                    if test is None:
                        self._note(event["end"], event["outcome"])
                        self.seconds[event["end"]] = event["seconds"]
                if code is not None and not lines:
                    return test, False
                limit_s = self._stall_s(test)
                if time.monotonic() - alive_s > limit_s:
                    return test or f"{self._module} (between tests)", True
                time.sleep(0.05)

    def _end_group(self, process, hung):
        if hung:  # faulthandler then tells where each thread is
            process.send_signal(signal.SIGABRT)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()

    def _note(self, test, outcome):
        self.outcomes[test] = max(self.outcomes.get(test, "ok"), outcome, key=WORST_LAST.index)

    def _ended_tests(self):
        return [test for test in self.outcomes if " " not in test]


def differing(plain, green):
    """{test: (plain's outcome, green's outcome)}; an exit code that differs alone is the module's."""
    tests = plain.outcomes.keys() | green.outcomes.keys()
    result = {}
    for test in tests:
        pair = plain.outcomes.get(test, "missing"), green.outcomes.get(test, "missing")
        if pair[0] != pair[1]:
            result[test] = pair
    if not result and plain.exit_code != green.exit_code:
        result[f"{plain._module} (exit code)"] = plain.exit_code, green.exit_code
    return result


Comparison = collections.namedtuple("Comparison", "module tests differences settled seconds skipped")


def compare(module, green_python, logs):
    """Runs `module` by both interpreters, and again what differs."""
    plain = ModuleRun(PLAIN, module, logs, "plain", lambda test: PLAIN_STALL_S).run()

    def green_stall_s(test):
        return GREEN_STALL_S + 5 * plain.seconds.get(test, 0)

    green = ModuleRun(green_python, module, logs, "green", green_stall_s)
    # What hangs here by any interpreter says nothing.
    green.outcomes = {test: "hang" for test, outcome in plain.outcomes.items() if outcome == "hang"}
    green.run()
    differences = differing(plain, green)
    settled = []
    for rerun in range(1, RERUNS_MAX + 1):
        again = {test for test in differences if " " not in test and "missing" not in differences[test]}
        if not again:
            break
        plain_again = ModuleRun(PLAIN, module, logs, f"plain-again{rerun}", lambda test: PLAIN_STALL_S).run(again)
        green_again = ModuleRun(green_python, module, logs, f"green-again{rerun}", green_stall_s).run(again)
        still = differing(plain_again, green_again)
        for test in again - still.keys():
            settled.append((test, differences.pop(test)))
    skipped = sum(outcome == "skip" for outcome in plain.outcomes.values())
    return Comparison(module, plain.outcomes.keys() | green.outcomes.keys(), differences, settled,
                      (plain.wall_s, green.wall_s), skipped)


def known_differences():
    """{test: reason} of differences.txt; one that begins with "sometimes" need not differ every time."""
    known = {}
    with open(DIFFERENCES) as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                test, reason = line.rstrip("\n").split("  ", 1)
                known[test] = reason.strip()
    return known


def belongs_to(test, module):
    return test.split(" ")[0].removeprefix("test.") == module or test.startswith((f"test.{module}.", f"{module} "))


def expand(names):
    """test_asyncio, a package, stands for its modules."""
    for name in names:
        folder = os.path.join(TEST_FOLDER, name)
        if os.path.isdir(folder):
            for file in sorted(os.listdir(folder)):
                if file.startswith("test_") and file.endswith(".py") and "windows" not in file:
                    yield f"{name}.{file[:-3]}"
        else:
            yield name


def report(comparisons, known):
    """Prints what is not as differences.txt says; (passed, failed)."""
    passed = failed = 0
    for comparison in comparisons:
        new = {test: pair for test, pair in comparison.differences.items() if test not in known}
        stale = [test for test, reason in known.items()
                 if belongs_to(test, comparison.module) and test not in comparison.differences
                 and not reason.startswith("sometimes")]
        for test, (plain, green) in sorted(new.items()):
            print(f"DIFFERS  {test}: {plain} by python3.11, {green} by green_python")
        for test in sorted(stale):
            print(f"STALE    {test} is in differences.txt, and does not differ")
        failed += len(new) + len(stale)
        passed += len(comparison.tests - new.keys() - set(stale))
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("modules", nargs="*")
    parser.add_argument("--green", required=True, help="the green_python binary")
    parser.add_argument("--short", action="store_true", help="the modules that tools/dev test runs")
    parser.add_argument("--jobs", type=int, default=2, help="modules at a time (2)")
    parser.add_argument("--logs", help="keep the outputs here")
    options = parser.parse_args()
    modules = list(expand(options.modules or (SHORT if options.short else FULL)))
    known = known_differences()
    green_python = os.path.realpath(options.green)
    temporary = tempfile.TemporaryDirectory(prefix="stdlib-logs-")
    logs = os.path.abspath(options.logs or temporary.name)
    os.makedirs(logs, exist_ok=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it, and so would its tests
    lock = threading.Lock()
    started = time.monotonic()

    def one(module):
        comparison = compare(module, green_python, logs)
        with lock:
            print(f"{module:<36} {len(comparison.tests):4} tests {comparison.skipped:4} skipped "
                  f"{len(comparison.differences):3} differ {len(comparison.settled):3} settled by a rerun   "
                  f"{comparison.seconds[0]:6.1f} s {comparison.seconds[1]:6.1f} s", flush=True)
            for test, (plain, green) in sorted(comparison.differences.items()):
                print(f"         {'known' if test in known else 'new'}: {test}: {plain} / {green}", flush=True)
            for test, (plain, green) in sorted(comparison.settled):
                print(f"         settled: {test}: {plain} / {green}", flush=True)
        return comparison

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        comparisons = list(pool.map(one, modules))
    print(f"{len(modules)} modules, {time.monotonic() - started:.0f} s")
    passed, failed = report(comparisons, known)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())

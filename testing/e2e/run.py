#!/usr/bin/python3.11
"""Runs the end-to-end tests: `run.py [pattern ...]`; a test runs when a pattern is part of its name, or matches as *.

The last line is `N passed, N failed`; the exit code is 1 when any failed. GREENRING_SERVER names another binary.
"""

import argparse
import fnmatch
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
sys.dont_write_bytecode = True

from fixture import server_binary  # noqa: E402

TEST_TIMEOUT_S = 60  # the longest test, 1 GiB up or down, takes a tenth


def _on_timeout(*_):
    raise AssertionError(f"the test took more than {TEST_TIMEOUT_S} s")


class Progress(unittest.TestResult):
    """Prints one line a test. A failing class set-up or tear-down counts as one failed test."""

    def __init__(self):
        super().__init__()
        self.passed, self.failed, self.skipped_count = 0, 0, 0
        self._started_s = time.monotonic()

    def startTest(self, test):
        super().startTest(test)
        self._started_s = time.monotonic()
        self._subtest_failed = False
        signal.alarm(TEST_TIMEOUT_S)

    def stopTest(self, test):
        signal.alarm(0)
        super().stopTest(test)

    def _line(self, word, test, text=""):
        name = test.id() if hasattr(test, "id") else str(test)
        print(f"{word:<6} {name} ({time.monotonic() - self._started_s:.2f} s)", flush=True)
        if text:
            print("       " + text.rstrip().replace("\n", "\n       "), flush=True)

    def addSuccess(self, test):
        if not self._subtest_failed:
            self.passed += 1
            self._line("ok", test)

    def _fail(self, test, error):
        self.failed += 1
        self._line("FAILED", test, self._exc_info_to_string(error, test))
        self._started_s = time.monotonic()

    def addFailure(self, test, error):
        self._fail(test, error)

    def addError(self, test, error):
        self._fail(test, error)

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self._subtest_failed = True
            self._fail(subtest, error)

    def addSkip(self, test, reason):
        self.skipped_count += 1
        self._line("skip", test, reason)


def select(suite, patterns):
    chosen = unittest.TestSuite()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            inner = select(item, patterns)
            if inner.countTestCases():
                chosen.addTest(inner)
        elif not patterns or any(p in item.id() or fnmatch.fnmatch(item.id(), p) for p in patterns):
            chosen.addTest(item)
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("patterns", nargs="*")
    parser.add_argument("--server", help="the server binary")
    parser.add_argument("--list", action="store_true", help="print the tests' names and end")
    options = parser.parse_args()
    if options.server:
        os.environ["GREENRING_SERVER"] = os.path.abspath(options.server)
    suite = select(unittest.defaultTestLoader.discover(HERE, "test_*.py"), options.patterns)
    if options.list:
        for test in flatten(suite):
            print(test.id())
        return 0
    if not os.access(server_binary(), os.X_OK):
        print(f"{server_binary()} is not there; build it with tools/dev build")
        print("0 passed, 1 failed")
        return 1
    signal.signal(signal.SIGALRM, _on_timeout)
    result = Progress()
    started_s = time.monotonic()
    suite.run(result)
    print(f"{result.skipped_count} skipped, {time.monotonic() - started_s:.0f} s")
    print(f"{result.passed} passed, {result.failed} failed")
    return 1 if result.failed or not result.passed else 0


def flatten(suite):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from flatten(item)
        else:
            yield item


if __name__ == "__main__":
    sys.exit(main())

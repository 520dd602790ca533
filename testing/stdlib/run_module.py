"""Runs one of CPython's test modules in this interpreter, as `python -m test` does, and tells how each test ended.

    run_module.py EVENTS ARGUMENT...        ARGUMENTs are those of `python -m test`

EVENTS is appended to, a JSON object a line: {"start": ID} and {"end": ID, "outcome": WORD}. So whoever reads it knows
which test a process died in, or hangs in.
"""

import json
import os
import sys
import time

# From the best outcome to the worst: a test with several (subtests, a failing tearDown) has the last of them.
OUTCOMES = ("ok", "expected failure", "skip", "unexpected success", "fail", "error")


class Recorder:
    """What RegressionTestResult is told, as lines."""

    def __init__(self, path):
        self._file = open(path, "a", buffering=1)
        self._pid = os.getpid()
        self._test = None
        self._outcome = None
        self._started_s = 0.0

    def _write(self, event):
        if os.getpid() == self._pid:  # not in a forked child that fell through to its parent's test runner
            self._file.write(json.dumps(event) + "\n")

    def start(self, test):
        self._test, self._outcome = test.id(), "ok"
        self._started_s = time.monotonic()
        self._write({"start": self._test})

    def note(self, test, outcome):
        if self._test is None:  # a class's or module's set-up or tear-down
            self._write({"end": test.id(), "outcome": outcome, "seconds": 0})
        else:
            self._outcome = max(self._outcome, outcome, key=OUTCOMES.index)

    def stop(self):
        seconds = round(time.monotonic() - self._started_s, 3)
        self._write({"end": self._test, "outcome": self._outcome, "seconds": seconds})
        self._test = None


def attach(recorder, result_class):
    """Tells `recorder` what any result of this class is told."""

    def before(name, tell):
        original = getattr(result_class, name)

        def told(self, *arguments):
            tell(*arguments)
            return original(self, *arguments)

        setattr(result_class, name, told)

    def subtest(test, subtest, error):
        if error is not None:
            recorder.note(test, "fail" if issubclass(error[0], test.failureException) else "error")

    before("startTest", recorder.start)
    before("stopTest", lambda test: recorder.stop())
    before("addSkip", lambda test, reason: recorder.note(test, "skip"))
    before("addFailure", lambda test, error: recorder.note(test, "fail"))
    before("addError", lambda test, error: recorder.note(test, "error"))
    before("addExpectedFailure", lambda test, error: recorder.note(test, "expected failure"))
    before("addUnexpectedSuccess", lambda test: recorder.note(test, "unexpected success"))
    before("addSubTest", subtest)


def main():
    from test.libregrtest import main as regrtest
    from test.support.testresult import RegressionTestResult

    attach(Recorder(sys.argv.pop(1)), RegressionTestResult)
    regrtest()


if __name__ == "__main__":  # multiprocessing's children import this file
    main()

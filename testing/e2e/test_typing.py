"""greenring.pyi, as a type checker sees it: the example is right, and mistakes are found."""

import os
import subprocess
import tempfile
import unittest

from fixture import ROOT

MYPY = "/usr/bin/mypy"

MISTAKES = (
    ("greenring.go(len, 1)", "arg-type"),
    ("greenring.go(len)", "call-arg"),
    ("x: str = greenring.go(len, 'word').result()", "assignment"),
    ("greenring.Channel[int]().send('word')", "arg-type"),
    ("y: str = greenring.Channel[int]().recv()", "assignment"),
    ("for z in greenring.Channel[int](): z.upper()", "attr-defined"),
    ("greenring.WaitGroup().go(len, 1)", "arg-type"),
    ("greenring.current().id", "union-attr"),
    ("greenring.sleep('word')", "arg-type"),
    ("_, w = greenring.select(greenring.Channel[int]()); w.upper()", "attr-defined"),
)


@unittest.skipUnless(os.path.exists(MYPY), "needs mypy")
class Typing(unittest.TestCase):
    def check(self, *paths):
        with tempfile.TemporaryDirectory() as cache:
            done = subprocess.run([MYPY, "--strict", f"--cache-dir={cache}", "--no-error-summary", *paths],
                                  capture_output=True, text=True, timeout=60,
                                  env={**os.environ, "MYPYPATH": os.path.join(ROOT, "pyhost/module")})
        return done.stdout + done.stderr

    def test_the_stub_and_the_example_are_well_typed(self):
        self.assertEqual(self.check(os.path.join(ROOT, "pyhost/module/greenring.pyi"),
                                    os.path.join(ROOT, "examples/go/app.py")), "")

    def test_mistakes_are_found(self):
        with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
            file.write("import greenring\n" + "".join(f"{code}\n" for code, _ in MISTAKES))
            file.flush()
            found = self.check(file.name).splitlines()
        for line, (code, kind) in enumerate(MISTAKES, start=2):
            messages = [message for message in found if f":{line}: error" in message]
            self.assertTrue(any(f"[{kind}]" in message for message in messages), (code, kind, messages))


if __name__ == "__main__":
    unittest.main()

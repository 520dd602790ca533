"""The applications of examples/ do what their READMEs say."""

import os
import re
import unittest

from browser import Browser
from fixture import ROOT, Server

EXAMPLES = os.path.join(ROOT, "examples")


class Examples(unittest.TestCase):
    def browse(self, name):
        server = Server("app", chdir=os.path.join(EXAMPLES, name)).start()
        self.addCleanup(server.stop)
        browser = Browser(server.address)
        self.addCleanup(browser.close)
        return browser

    def test_hello(self):
        self.assertIn("Hello from a green thread", self.browse("hello").get("/").text)

    def test_flask(self):
        page = self.browse("flask").post_form("/", name="Ada", words="<fine>")
        self.assertIn("Thank you, Ada!", page.text)
        self.assertIn("&lt;fine&gt;", page.text)

    def test_django(self):
        browser = self.browse("django")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.get("/").text).group(1)
        page = browser.post_form("/", csrfmiddlewaretoken=token, text="remember")
        self.assertIn("<li>remember</li>", page.text)

    def test_bottle(self):
        browser = self.browse("bottle")
        self.assertIn("1 time.", browser.get("/").text)
        self.assertIn("2 times.", browser.get("/hello/Ada").text)

    def test_streaming(self):
        browser = self.browse("streaming")
        self.assertEqual(browser.get("/count?to=2500").text.split(), [str(n) for n in range(1, 2501)])
        self.assertRegex(browser.request("PUT", "/measure", b"x" * 300000).text, "^300000 bytes in ")
        self.assertEqual(browser.request("PUT", "/shout", iter([b"quiet, ", b"please"])).body, b"QUIET, PLEASE")

    def test_every_example_has_a_readme(self):
        for entry in os.scandir(EXAMPLES):
            if entry.is_dir() and entry.name != "__pycache__":
                self.assertTrue(os.path.exists(os.path.join(entry.path, "README.md")), entry.name)

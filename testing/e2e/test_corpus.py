"""The parser's corpus (testing/corpus/http1) over real sockets, each file on a connection of its own."""

import glob
import json
import os
import re

from case import ServerCase, on_each_engine
from fixture import ROOT
from wire import WireError

REFUSALS = {*range(400, 500), 501, 505}  # 501: a method that is none; 505: a version that is none
CORPUS = os.path.join(ROOT, "testing", "corpus", "http1")


def corpus(kind):
    """[(name, bytes)] of one folder of the corpus."""
    files = sorted(glob.glob(os.path.join(CORPUS, kind, "**", "*.http"), recursive=True))
    return [(os.path.relpath(path, CORPUS), open(path, "rb").read()) for path in files]


def methods_of(data):
    """The methods of the requests in a file, as far as the corpus needs to tell HEAD from others."""
    return [method.decode() for method in re.findall(rb"([A-Za-z-]+) \S+ HTTP/1\.\d\r\n", data)]


@on_each_engine
class Corpus(ServerCase):
    app = "corpus_app"
    usual = ("refused a request with [45]",)

    def seen(self):
        """[method, path, query, body] of every request that reached the application since the last call."""
        return json.loads(self.request("GET", "/__seen__").body)

    def exchange(self, data):
        """Sends it, finishes sending, and reads all responses up to the close."""
        responses = []
        with self.server.connect() as connection:
            try:
                connection.send(data)
                connection.finish_sending()
            except OSError:
                pass  # refused before all of it was sent
            methods = iter(methods_of(data))
            while True:
                try:
                    responses.append(connection.read_response(next(methods, "GET")))
                except WireError as error:
                    if re.search("closed while waiting for status line; had b''|Connection reset", str(error)):
                        return responses
                    raise
                except ConnectionResetError:
                    return responses

    def test_every_malformed_request_is_refused(self):
        malformed = corpus("malformed")
        self.assertGreater(len(malformed), 50, f"the corpus is missing from {CORPUS}")
        for name, data in malformed:
            with self.subTest(name=name):
                self.seen()
                responses = self.exchange(data)
                self.assertTrue(responses, "closed without an answer")
                self.assertIn(responses[-1].status, REFUSALS, responses)
                self.assertEqual(responses[-1].get("Connection", "").lower(), "close")
                seen = self.seen()
                self.assertEqual(len(seen), len(responses) - 1, seen)
                self.assertNotIn("/smuggled", [path for _, path, _, _ in seen])

    def test_what_is_truncated_is_not_served(self):
        for name, data in corpus("truncated"):
            with self.subTest(name=name):
                self.seen()
                self.exchange(data)
                self.assertEqual(len(self.seen()), max(len(methods_of(data)) - 1, 0))

    def test_every_valid_request_is_served(self):
        valid = corpus("valid")
        self.assertGreater(len(valid), 20, f"the corpus is missing from {CORPUS}")
        for name, data in valid:
            with self.subTest(name=name):
                self.seen()
                responses = self.exchange(data)
                self.assertTrue(responses)
                self.assertEqual([response.status for response in responses], [200] * len(responses))
                self.assertEqual(len(self.seen()), len(responses))

    def test_every_request_survives_being_sent_byte_by_byte(self):
        for name, data in corpus("valid"):
            if len(data) > 2000:
                continue
            with self.subTest(name=name), self.server.connect() as connection:
                for byte in data:
                    connection.send(bytes([byte]))
                self.assertEqual(connection.read_response(methods_of(data)[0]).status, 200)

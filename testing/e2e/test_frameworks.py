"""Flask, Django and Bottle doing what they do every day; then the same inside wsgiref.validate."""

import json
import os
import re

from browser import Browser
from case import ServerCase, on_each_engine
from fixture import APPS

PICTURE = bytes(range(256)) * 2000  # half a MiB: frameworks spool it to a temporary file


class FrameworkCase(ServerCase):
    def setUp(self):  # descriptors are not counted: Bottle keeps the last request's temporary file
        self.browser = self.another_browser()

    def another_browser(self):
        browser = Browser(self.server.address)
        self.addCleanup(browser.close)
        return browser


class FlaskCase(FrameworkCase):
    def test_serves_a_page(self):
        self.assertEqual(self.browser.get("/").text, "a Flask application")

    def test_forms_sessions_flashes_and_templates(self):
        page = self.browser.post_form("/guests", name="Ada <3")
        self.assertEqual(page.status, 200)
        self.assertIn("<li>Ada &lt;3</li>", page.text)
        self.assertIn("Welcome, Ada &lt;3", page.text)
        self.assertIn(f"http://127.0.0.1:{self.server.port}/guests", page.text)
        self.assertNotIn("Welcome", self.browser.get("/guests").text)

    def test_sessions_belong_to_their_browser(self):
        other = self.another_browser()
        for _ in range(3):
            self.browser.post_form("/guests", name="Grace")
        other.post_form("/guests", name="Edsger")
        self.assertEqual(json.loads(self.browser.get("/visits").body), {"visits": 3})
        self.assertEqual(json.loads(other.get("/visits").body), {"visits": 1})

    def test_redirects(self):
        page = self.browser.post_form("/guests", name="Tony", follow=False)
        self.assertEqual((page.status, page.headers["Location"]), (302, "/guests"))

    def test_uploads_a_file(self):
        answer = json.loads(self.browser.upload("/upload", "a.png", PICTURE, note="n").body)
        self.assertEqual(answer, {"name": "a.png", "type": "image/png", "size": len(PICTURE), "note": "n",
                                  "sum": sum(PICTURE) % 65536})

    def test_json_both_ways(self):
        page = self.browser.request("POST", "/json", json.dumps({"a": ["é", 1]}), {"Content-Type": "application/json"})
        self.assertEqual(json.loads(page.body), {"got": {"a": ["é", 1]}, "type": "application/json"})

    def test_a_chunked_body_is_read(self):
        page = self.browser.request("PUT", "/raw", iter([b"first ", b"second"]))
        self.assertEqual(page.body, b"first second")

    def test_query_and_path(self):
        answer = json.loads(self.browser.get("/search?q=a&q=b%20c%C3%A9").body)
        self.assertEqual(answer["q"], ["a", "b cé"])
        self.assertEqual(answer["address"], "127.0.0.1")
        self.assertEqual(self.browser.get("/user/Zo%C3%AB%20B").text, "user Zoë B")

    def test_streams_within_the_request_context(self):
        self.assertEqual(self.browser.get("/stream?prefix=row").text, "row0\nrow1\nrow2\nrow3\nrow4\n")

    def test_sends_files(self):
        page = self.browser.get("/file")
        self.assertEqual(page.body, bytes(range(256)) * 256)
        self.assertIn("attachment", page.headers["Content-Disposition"])
        with open(os.path.join(APPS, "flask_app.py"), "rb") as source:
            text = source.read()
        self.assertEqual(self.browser.get("/source").body, text)
        part = self.browser.get("/source", headers={"Range": "bytes=10-19"})
        self.assertEqual((part.status, part.body), (206, text[10:20]))
        etag = self.browser.get("/source").headers["ETag"]
        self.assertEqual(self.browser.get("/source", headers={"If-None-Match": etag}).status, 304)

    def test_cookies(self):
        self.browser.get("/cookies")
        self.assertEqual(json.loads(self.browser.get("/cookies").body), {"first": "1", "second": "zwei"})

    def test_head_and_options(self):
        page = self.browser.request("HEAD", "/")
        self.assertEqual((page.body, page.headers["Content-Length"]), (b"", "19"))
        self.assertIn("POST", self.browser.request("OPTIONS", "/guests").headers["Allow"])

    def test_errors(self):
        page = self.browser.get("/nowhere")
        self.assertEqual((page.status, page.text), (404, "no such page: /nowhere"))
        self.assertEqual(self.browser.get("/teapot").status, 418)
        self.assertEqual(self.browser.request("DELETE", "/guests").status, 405)
        page = self.browser.get("/broken")
        self.assertEqual(page.status, 500)
        self.expect_log("KeyError: 'a bug in the Flask application'")
        self.assertEqual(self.browser.get("/").status, 200)


class DjangoCase(FrameworkCase):
    def write_note(self, browser, text, **options):
        form = browser.get("/notes/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form).group(1)
        return browser.post_form("/notes/", csrfmiddlewaretoken=token, text=text, **options)

    def test_serves_a_page(self):
        self.assertEqual(self.browser.get("/").text, "a Django application")

    def test_forms_with_csrf_sessions_and_templates(self):
        self.write_note(self.browser, "first & last")
        page = self.write_note(self.browser, "zweité")
        self.assertEqual(page.status, 200)
        self.assertIn("<li>FIRST &amp; LAST</li>", page.text)
        self.assertIn("<li>ZWEITÉ</li>", page.text)
        self.assertIn("<li>none</li>", self.another_browser().get("/notes/").text)

    def test_a_form_without_csrf_token_is_refused(self):
        page = self.browser.post_form("/notes/", text="forged")
        self.assertEqual(page.status, 403)
        self.expect_log("Forbidden")

    def test_an_invalid_form_is_shown_again(self):
        page = self.write_note(self.browser, "x" * 100)
        self.assertEqual(page.status, 422)
        self.assertIn("at most 40 characters", page.text)
        self.expect_log("Unprocessable")

    def test_redirects(self):
        self.assertEqual(self.write_note(self.browser, "a", follow=False).status, 302)
        page = self.browser.get("/notes", follow=False)
        self.assertEqual((page.status, page.headers["Location"]), (301, "/notes/"))

    def test_uploads_a_file(self):
        data = PICTURE * 8  # beyond the 2.5 MiB that Django keeps in memory
        answer = json.loads(self.browser.upload("/upload/", "b.png", data, note="Größe").body)
        self.assertEqual(answer, {"name": "b.png", "type": "image/png", "size": len(data), "note": "Größe"})

    def test_raw_bodies(self):
        page = self.browser.request("POST", "/body/", b"\0\xff" * 1000, {"Content-Type": "application/octet-stream"})
        self.assertEqual(page.body, b"\0\xff" * 1000)

    def test_streams(self):
        self.assertEqual(self.browser.get("/stream/").text, "".join(f"row {n}\n" for n in range(5)))

    def test_gzip_middleware_compresses_a_stream(self):
        import gzip
        page = self.browser.get("/stream/", headers={"Accept-Encoding": "gzip"})
        self.assertEqual(page.headers["Content-Encoding"], "gzip")
        self.assertEqual(gzip.decompress(page.body), b"".join(b"row %d\n" % n for n in range(5)))

    def test_urls(self):
        answer = json.loads(self.browser.get("/articles/2024/caf%C3%A9/?q=1&q=%C3%BC").body)
        self.assertEqual(answer, {"year": 2024, "slug": "café", "path": "/articles/2024/café/", "q": ["1", "ü"],
                                  "secure": False, "host": f"127.0.0.1:{self.server.port}"})

    def test_errors(self):
        self.assertEqual(self.browser.get("/articles/2024/missing/").status, 404)
        self.expect_log("Not Found: /articles/2024/missing/")
        self.assertEqual(self.browser.get("/broken/").status, 500)
        self.expect_log("RuntimeError: a bug in the Django application")
        self.assertEqual(self.browser.get("/").status, 200)


class BottleCase(FrameworkCase):
    def test_serves_a_page(self):
        self.assertEqual(self.browser.get("/").text, "a Bottle application")

    def test_forms_signed_cookies_and_templates(self):
        page = self.browser.post_form("/wiki/Coffee", text="crème & sucre", author="Zoë")
        self.assertEqual(page.status, 200)
        self.assertEqual(page.text, "<h1>Coffee</h1>crème &amp; sucre<p>by Zoë</p>")
        self.assertIn("by anonymous", self.another_browser().get("/wiki/Coffee").text)

    def test_redirects(self):
        page = self.browser.post_form("/wiki/A", text="a", author="b", follow=False)
        self.assertEqual((page.status, page.headers["Location"]),
                         (303, f"http://127.0.0.1:{self.server.port}/wiki/A"))

    def test_uploads_a_file(self):
        answer = json.loads(self.browser.upload("/upload", "c.png", PICTURE, note="n").body)
        self.assertEqual(answer, {"name": "c.png", "type": "image/png", "size": len(PICTURE), "note": "n"})

    def test_raw_bodies_with_length_and_chunked(self):
        self.assertEqual(self.browser.request("PUT", "/body", PICTURE).body, PICTURE)

    def test_streams(self):
        self.assertEqual(self.browser.get("/stream").text, "".join(f"row {n}\n" for n in range(5)))

    def test_static_files(self):
        with open(os.path.join(APPS, "bottle_app.py"), "rb") as source:
            text = source.read()
        page = self.browser.get("/static/bottle_app.py")
        self.assertEqual(page.body, text)
        part = self.browser.get("/static/bottle_app.py", headers={"Range": "bytes=5-9"})
        self.assertEqual((part.status, part.body), (206, text[5:10]))
        head = self.browser.request("HEAD", "/static/bottle_app.py")
        self.assertEqual((head.body, head.headers["Content-Length"]), (b"", str(len(text))))
        self.assertEqual(self.browser.get("/static/none.py").status, 404)

    def test_errors(self):
        page = self.browser.get("/wiki/Caf%C3%A9")
        self.assertEqual(page.status, 404)
        self.assertIn("no page Café", page.text)
        self.assertEqual(self.browser.request("DELETE", "/wiki/A").status, 405)
        self.assertEqual(self.browser.get("/broken").status, 500)
        self.expect_log("RuntimeError: a bug in the Bottle application")


@on_each_engine
class Flask(FlaskCase):
    app = "flask_app"


@on_each_engine
class Django(DjangoCase):
    app = "django_app:application"


@on_each_engine
class Bottle(BottleCase):
    app = "bottle_app:app"


class ValidatedFlask(FlaskCase):
    app = "validated_flask_app"


class ValidatedDjango(DjangoCase):
    app = "validated_django_app"


class ValidatedBottle(BottleCase):
    app = "validated_bottle_app"


del FlaskCase, DjangoCase, BottleCase  # bases, not tests of their own


class Validated(ServerCase):
    """Applications that use the whole interface, inside wsgiref.validate; its complaints would be on stderr."""

    app = "validated_app"

    def test_pages(self):
        for target, body in (("/", b"hello"), ("/pieces", b"abc"), ("/write", b"written,returned"),
                             ("/no-content", b"")):
            with self.subTest(target=target):
                self.assertEqual(self.request("GET", target).body, body)
                self.assertEqual(self.request("GET", target, version="1.0").body, body)
                self.request("HEAD", target)

    def test_input(self):
        body = b"abcline one\nline two\nthree\nfour\nfive\n"
        answer = json.loads(self.request("POST", "/input", [("Content-Type", "text/plain")], body).body)
        self.assertEqual("".join(answer), body.decode())

    def test_errors(self):
        self.assertEqual(self.request("GET", "/errors").body, b"written")
        self.expect_log("validated line")
        self.expect_log("and another")

    def test_file_wrapper(self):
        with open(os.path.join(APPS, "validated_app.py"), "rb") as source:
            self.assertEqual(self.request("GET", "/file").body, source.read())

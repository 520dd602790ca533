"""The environ dictionary: every key of PEP 3333, its type and its value."""

import json

from case import ServerCase, on_each_engine


@on_each_engine
class Environ(ServerCase):
    app = "environ_app"

    def environ(self, method="GET", target="/", headers=(), body=None, version="1.1"):
        response = self.request(method, target, headers, body, version)
        self.assertEqual(response.status, 200, response)
        return json.loads(response.body)

    def value(self, key, *args, **kwargs):
        kind, value = self.environ(*args, **kwargs)[key]
        self.assertEqual(kind, "str")
        return value

    def test_is_a_builtin_dict(self):
        self.assertEqual(self.environ()["type(environ)"][0], "<class 'dict'>")

    def test_has_every_required_key_as_native_string(self):
        environ = self.environ("GET", "/a?b=c")
        for key in ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT",
                    "SERVER_PROTOCOL", "REMOTE_ADDR"):
            self.assertEqual(environ.get(key, ["missing"])[0], "str", key)
        for key in ("SERVER_NAME", "SERVER_PORT"):
            self.assertNotEqual(environ[key][1], "", key)

    def test_every_cgi_variable_is_a_string(self):
        for key, (kind, _) in self.environ("POST", "/", [("X-A", "b")], b"x").items():
            if key.isupper():
                self.assertEqual(kind, "str", key)

    def test_wsgi_keys(self):
        environ = self.environ()
        self.assertEqual(environ["wsgi.version"], ["tuple", [1, 0]])
        self.assertEqual(environ["wsgi.url_scheme"], ["str", "http"])
        self.assertEqual(environ["wsgi.multithread"], ["bool", True])
        self.assertEqual(environ["wsgi.multiprocess"], ["bool", False])
        self.assertEqual(environ["wsgi.run_once"], ["bool", False])
        self.assertEqual(environ["wsgi.input_terminated"], ["bool", True])
        self.assertIn("wsgi.file_wrapper", environ)
        self.assertEqual(len(environ["methods of wsgi.input"][1]), 4)
        self.assertEqual(len(environ["methods of wsgi.errors"][1]), 3)

    def test_environ_is_fresh_for_each_request(self):
        with self.server.connect() as connection:
            first = json.loads(connection.get("/", [("X-Only-First", "1")]).body)
            second = json.loads(connection.get("/").body)
        self.assertIn("HTTP_X_ONLY_FIRST", first)
        self.assertNotIn("HTTP_X_ONLY_FIRST", second)
        self.assertNotIn("application.may.change.it", second)

    def test_methods_are_passed_as_they_are(self):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "get"):
            self.assertEqual(self.value("REQUEST_METHOD", method), method)

    def test_path_is_decoded_to_bytes_as_latin_1(self):
        for target, path in [("/", "/"), ("/plain", "/plain"), ("/caf%C3%A9", "/caf\u00c3\u00a9"), ("/%ff", "/\u00ff"),
                             ("/a%20b", "/a b"), ("/a+b", "/a+b"), ("/a%2Fb", "/a/b"), ("/a%2fb", "/a/b"),
                             ("/a//b/", "/a//b/"), ("/a/../b", "/a/../b"), ("/a%3Fb", "/a?b"), ("/a;b=c", "/a;b=c"),
                             ("/%25", "/%"), ("/%2541", "/%41")]:
            with self.subTest(target=target):
                self.assertEqual(self.value("PATH_INFO", "GET", target), path)

    def test_script_name_is_empty(self):
        self.assertEqual(self.value("SCRIPT_NAME"), "")

    def test_query_string_is_not_decoded(self):
        for target, query in [("/", ""), ("/?", ""), ("/?a=b", "a=b"), ("/?a=%C3%A9&b=+", "a=%C3%A9&b=+"),
                              ("/?a=b?c", "a=b?c"), ("/?//x", "//x")]:
            with self.subTest(target=target):
                self.assertEqual(self.value("QUERY_STRING", "GET", target), query)

    def test_content_type_and_length_have_no_http_prefix(self):
        environ = self.environ("POST", "/", [("Content-Type", "text/x; a=b")], b"12345")
        self.assertEqual(environ["CONTENT_TYPE"], ["str", "text/x; a=b"])
        self.assertEqual(environ["CONTENT_LENGTH"], ["str", "5"])
        self.assertNotIn("HTTP_CONTENT_TYPE", environ)
        self.assertNotIn("HTTP_CONTENT_LENGTH", environ)

    def test_content_type_and_length_are_absent_or_empty_without_body(self):
        environ = self.environ()
        self.assertEqual(environ.get("CONTENT_TYPE", ["str", ""]), ["str", ""])
        self.assertEqual(environ.get("CONTENT_LENGTH", ["str", ""]), ["str", ""])

    def test_headers_become_http_variables(self):
        environ = self.environ("GET", "/", [("Host", "example.org:81"), ("X-Forwarded-For", "1.2.3.4"),
                                            ("User-Agent", "e2e"), ("x-MiXeD-case", "kept Value"), ("X-Empty", "")])
        self.assertEqual(environ["HTTP_HOST"][1], "example.org:81")
        self.assertEqual(environ["HTTP_X_FORWARDED_FOR"][1], "1.2.3.4")
        self.assertEqual(environ["HTTP_USER_AGENT"][1], "e2e")
        self.assertEqual(environ["HTTP_X_MIXED_CASE"][1], "kept Value")
        self.assertEqual(environ["HTTP_X_EMPTY"][1], "")

    def test_header_values_lose_the_space_around_them_and_nothing_else(self):
        with self.server.connect() as connection:
            connection.send(b"GET / HTTP/1.1\r\nHost: x\r\nX-Space: \t a  b\t \r\n\r\n")
            environ = json.loads(connection.read_response().body)
        self.assertEqual(environ["HTTP_X_SPACE"][1], "a  b")

    def test_header_values_are_latin_1(self):
        self.assertEqual(self.value("HTTP_X_NAME", "GET", "/", [("X-Name", "caf\u00e9 \u00ff")]), "caf\u00e9 \u00ff")

    def test_duplicate_headers_are_joined_in_order(self):
        value = self.value("HTTP_X_A", "GET", "/", [("X-A", "1"), ("X-B", "between"), ("x-a", "2"), ("X-A", "3")])
        self.assertEqual(value.replace(" ", ""), "1,2,3")

    def test_duplicate_cookies_are_joined_by_semicolon(self):
        value = self.value("HTTP_COOKIE", "GET", "/", [("Cookie", "a=1"), ("Cookie", "b=2")])
        self.assertEqual(value, "a=1; b=2")

    def test_a_header_with_underscores_cannot_pose_as_one_with_hyphens(self):
        for order in ([("X-User", "real"), ("X_User", "fake")], [("X_User", "fake"), ("X-User", "real")]):
            response = self.request("GET", "/", order)
            if response.status != 400:
                self.assertEqual(json.loads(response.body)["HTTP_X_USER"][1], "real")

    def test_remote_addr_and_port_are_the_peers(self):
        with self.server.connect() as connection:
            environ = json.loads(connection.get("/").body)
            host, port = connection.socket.getsockname()
        self.assertEqual(environ["REMOTE_ADDR"][1], host)
        self.assertEqual(environ.get("REMOTE_PORT", ["str", str(port)])[1], str(port))

    def test_server_port_is_the_listeners(self):
        self.assertEqual(self.value("SERVER_PORT"), str(self.server.port))

    def test_server_protocol_is_the_requests(self):
        self.assertEqual(self.value("SERVER_PROTOCOL"), "HTTP/1.1")
        self.assertEqual(self.value("SERVER_PROTOCOL", version="1.0"), "HTTP/1.0")

    def test_absolute_form_gives_path_query_and_host(self):
        environ = self.environ("GET", "http://example.com/a%20b?c=d", [("Host", "example.com")])
        self.assertEqual(environ["PATH_INFO"][1], "/a b")
        self.assertEqual(environ["QUERY_STRING"][1], "c=d")
        self.assertEqual(environ["HTTP_HOST"][1], "example.com")

    def test_a_request_of_version_1_0_needs_no_host(self):
        self.assertNotIn("HTTP_HOST", self.environ(version="1.0"))

    def test_many_headers_all_arrive(self):
        headers = [(f"X-Number-{number}", "v" * number) for number in range(90)]
        environ = self.environ("GET", "/", headers)
        for number in range(90):
            self.assertEqual(environ[f"HTTP_X_NUMBER_{number}"][1], "v" * number)

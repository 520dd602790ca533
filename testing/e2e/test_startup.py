"""From the command line to `ready`: how applications are named, listeners, flags, and what is said when it fails."""

import json
import os
import re
import subprocess
import tempfile
import unittest

from fixture import ENGINES, Server, eventually, run_to_exit, server_binary
from wire import Connection

HELLO = """def {name}(environ, start_response):
    start_response("200 OK", [("Content-Length", "{length}")])
    return [b"{text}"]
"""


class Folder(unittest.TestCase):
    """A temporary folder with small applications in it."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def write(self, path, text):
        path = os.path.join(self.folder, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)
        return path

    def hello(self, name="application", text="hello"):
        return HELLO.format(name=name, length=len(text), text=text)

    def serve(self, app, *flags, chdir=None, **options):
        """The body of GET / from a server for this application."""
        with Server(app, *flags, chdir=chdir or self.folder, **options) as server, server.connect() as connection:
            return connection.get("/").text


class ApplicationSpec(Folder):
    def test_module_and_callable(self):
        self.write("one.py", self.hello("serve_me"))
        self.assertEqual(self.serve("one:serve_me"), "hello")

    def test_module_alone_means_application(self):
        self.write("two.py", self.hello("app", "not me") + self.hello("application", "me"))
        self.assertEqual(self.serve("two"), "me")

    def test_module_alone_without_application_means_app(self):
        self.write("three.py", self.hello("app"))
        self.assertEqual(self.serve("three"), "hello")

    def test_a_dotted_module(self):
        self.write("package/__init__.py", "")
        self.write("package/inner.py", self.hello())
        self.assertEqual(self.serve("package.inner:application"), "hello")

    def test_an_attribute_of_an_object(self):
        self.write("four.py", "class Holder:\n    @staticmethod\n    " + self.hello("serve").replace("\n", "\n    "))
        self.assertEqual(self.serve("four:Holder.serve"), "hello")

    def test_a_file(self):
        path = self.write("deep/down/five.py", self.hello())
        self.assertEqual(self.serve(path), "hello")
        self.assertEqual(self.serve("deep/down/five.py"), "hello")

    def test_a_file_and_callable(self):
        path = self.write("my-site.py", self.hello("site"))
        self.assertEqual(self.serve(f"{path}:site"), "hello")

    def test_a_files_neighbours_can_be_imported(self):
        self.write("site/neighbour.py", "TEXT = b'hello'")
        path = self.write("site/main.py", self.hello().replace('b"hello"', "__import__('neighbour').TEXT"))
        self.assertEqual(self.serve(path), "hello")

    def test_a_factory(self):
        self.write("six.py", "def create_app():\n    " + self.hello("made").replace("\n", "\n    ") + "return made\n")
        self.assertEqual(self.serve("six:create_app()"), "hello")

    def test_pythonpath(self):
        self.write("lib1/left.py", "TEXT = b'hel'")
        self.write("lib2/right.py", "TEXT = b'lo'")
        self.write("seven.py", "import left, right\n" + self.hello().replace('b"hello"', "left.TEXT + right.TEXT"))
        paths = ",".join(os.path.join(self.folder, name) for name in ("lib1", "lib2"))
        self.assertEqual(self.serve("seven", f"--pythonpath={paths}"), "hello")

    def test_the_working_directory_is_chdir(self):
        self.write("data.txt", "hello")
        self.write("eight.py", self.hello().replace('b"hello"', "open('data.txt', 'rb').read()"))
        self.assertEqual(self.serve("eight"), "hello")

    def test_relative_chdir_and_no_chdir(self):
        self.write("nine.py", self.hello())
        for flags in ([], ["--chdir=."]):
            process = subprocess.Popen([server_binary(), "--app=nine", "--http=127.0.0.1:0", *flags], cwd=self.folder,
                                       stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            with process, process.stderr:
                line = next(line for line in process.stderr if "listening on" in line)
                port = int(re.search(r":(\d+)$", line.strip()).group(1))
                with Connection(("127.0.0.1", port)) as connection:
                    self.assertEqual(connection.get("/").text, "hello")
                process.terminate()
                self.assertEqual(process.wait(20), 0)

    def test_python_is_the_systems(self):
        self.write("ten.py", self.application_that_answers("[sys.version, sys.prefix, sys.path, __name__]"))
        version, prefix, path, name = json.loads(self.serve("ten"))
        program = "import json, sys; print(json.dumps([sys.version, sys.prefix, sys.path[1:]]))"
        expected = json.loads(subprocess.check_output(["/usr/bin/python3.11", "-c", program], cwd="/"))
        self.assertEqual((version, prefix), tuple(expected[:2]))
        self.assertEqual([entry for entry in path if entry in expected[2]], expected[2])
        self.assertEqual(name, "ten")

    def test_a_virtualenv_is_honoured(self):
        venv = os.path.join(self.folder, "venv")
        subprocess.check_call(["/usr/bin/python3.11", "-m", "venv", "--without-pip", venv])
        self.write("venv/lib/python3.11/site-packages/only_there.py", "TEXT = 'from the virtualenv'")
        self.write("eleven.py", "import only_there\n" + self.application_that_answers(
            "[only_there.TEXT, sys.prefix, sys.base_prefix]"))
        answer = json.loads(self.serve("eleven", f"--virtualenv={venv}"))
        self.assertEqual(answer, ["from the virtualenv", venv, "/usr"])

    def application_that_answers(self, expression):
        return f"""import json, sys
def application(environ, start_response):
    body = json.dumps({expression}).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class FailingApplications(Folder):
    def fails(self, app, *patterns, flags=()):
        """The server must end by itself, not with code 0, and say all this on stderr."""
        code, _, stderr = run_to_exit(f"--app={app}", f"--chdir={self.folder}", "--http=127.0.0.1:0", *flags)
        self.assertGreater(code, 0, f"exit code {code}; stderr was:\n{stderr}")
        self.assertNotIn("greenring: ready", stderr)
        for pattern in patterns:
            self.assertRegex(stderr, pattern)

    def test_an_exception_at_import_prints_its_traceback(self):
        self.write("broken.py", "import os\n\nraise LookupError('broken at import')\n")
        self.fails("broken", "Traceback", r'broken.py", line 3', "LookupError: broken at import")

    def test_a_syntax_error_shows_its_line(self):
        self.write("typo.py", "def application(environ:\n")
        self.fails("typo:application", "SyntaxError", "typo.py")

    def test_a_missing_import_inside_is_shown(self):
        self.write("needy.py", "import a_module_that_nobody_has\n")
        self.fails("needy", "ModuleNotFoundError: No module named 'a_module_that_nobody_has'", "needy.py")

    def test_a_missing_module_is_named(self):
        self.fails("nowhere:app", "nowhere")

    def test_a_missing_file_is_named(self):
        self.fails("nowhere/site.py", "nowhere/site.py")

    def test_a_missing_callable_is_named(self):
        self.write("empty.py", "")
        self.fails("empty:serve", "serve")
        self.fails("empty", "application")

    def test_something_that_is_not_callable_is_refused(self):
        self.write("number.py", "application = 5\n")
        self.fails("number", "callable")

    def test_a_factory_that_fails_prints_its_traceback(self):
        self.write("factory.py", "def create_app():\n    raise LookupError('broken factory')\n")
        self.fails("factory:create_app()", "Traceback", "LookupError: broken factory")

    def test_a_missing_chdir_is_named(self):
        self.fails("x", "/no/such/folder", flags=["--chdir=/no/such/folder"])

    def test_a_missing_virtualenv_is_named(self):
        self.write("app.py", self.hello())
        self.fails("app", "/no/such/venv", flags=["--virtualenv=/no/such/venv"])


class Flags(Folder):
    def refused(self, *flags, naming):
        self.write("app.py", self.hello())
        code, _, stderr = run_to_exit(*flags)
        self.assertEqual(code, 2, stderr)
        self.assertEqual(len(stderr.strip().splitlines()), 1, stderr)
        self.assertRegex(stderr, naming)

    def test_a_missing_app_is_explained(self):
        self.refused("--http=127.0.0.1:0", naming="--app")

    def test_bad_values_are_refused_in_one_line_that_names_the_flag(self):
        app = (f"--chdir={self.folder}", "--app=app")
        for flag, value in [("engine", "steam"), ("async_cores", "0"), ("async_cores", "many"), ("async_cores", "-1"),
                            ("stack_size", "1"), ("stack_size", "big"), ("stack_pages", "0"),
                            ("http", "127.0.0.1:99999"), ("http", "127.0.0.1"), ("http", "nonsense:80:80"),
                            ("http", "unix:"), ("drain_timeout", "soon"), ("keepalive_timeout", "-1s"),
                            ("limit_request_line", "0"), ("queue_depth_max", "-1"), ("limit_request_body", "x")]:
            with self.subTest(flag=flag, value=value):
                self.refused(*app, f"--{flag}={value}", naming=flag)

    def test_an_unknown_flag_is_named(self):
        self.refused("--app=app", f"--chdir={self.folder}", "--warp_speed=9", naming="warp_speed")

    def test_a_stray_argument_is_named(self):
        self.refused("--app=app", f"--chdir={self.folder}", "stray", naming="stray")

    def test_help_names_every_flag(self):
        code, stdout, stderr = run_to_exit("--help")
        self.assertEqual(code, 0, stderr)
        for flag in ("app", "chdir", "pythonpath", "virtualenv", "http", "engine", "async_cores", "stack_size",
                     "stack_pages", "queue_depth_max", "access_log", "error_log", "drain_timeout",
                     "keepalive_timeout", "header_timeout", "limit_request_line", "limit_request_fields",
                     "limit_request_field_size", "limit_request_body"):
            self.assertIn(f"--{flag}", stdout + stderr)

    def test_a_port_in_use_is_named(self):
        self.write("app.py", self.hello())
        with Server("app", chdir=self.folder) as server:
            code, _, stderr = run_to_exit("--app=app", f"--chdir={self.folder}", f"--http=127.0.0.1:{server.port}")
            self.assertGreater(code, 0)
            self.assertRegex(stderr, rf"{server.port}.*in use")

    def test_every_engine_starts_with_every_stack_size(self):
        self.write("app.py", self.hello())
        for engine in ENGINES:
            for flag in ("--stack_size=128KiB", "--stack_size=1MiB", "--stack_pages=128"):
                with self.subTest(engine=engine, flag=flag):
                    self.assertEqual(self.serve("app", flag, "--async_cores=4", engine=engine), "hello")


class Listeners(Folder):
    def test_several_listeners_serve_at_once(self):
        path = os.path.join(self.folder, "socket")
        with Server("environ_app", http=("127.0.0.1:0", "127.0.0.1:0", f"unix:{path}")) as server:
            self.assertEqual(len(server.listeners), 3)
            self.assertEqual(server.listeners[2], path)
            connections = [Connection(address) for address in server.listeners]
            for _ in range(3):
                for connection, address in zip(connections, server.listeners):
                    environ = json.loads(connection.get("/").body)
                    if address == path:
                        self.assertEqual(environ["REMOTE_ADDR"], ["str", ""])
                    else:
                        self.assertEqual(environ["SERVER_PORT"], ["str", str(address[1])])
            for connection in connections:
                connection.close()

    def test_one_flag_holds_several(self):
        path = os.path.join(self.folder, "socket")
        with Server("response_app", http=(f"127.0.0.1:0,unix:{path}",)) as server:
            self.assertEqual(len(server.listeners), 2)
            for address in server.listeners:
                with Connection(address) as connection:
                    self.assertEqual(connection.get("/hello").body, b"hello")

    def test_localhost_by_name(self):
        with Server("response_app", http=("localhost:0",)) as server, server.connect() as connection:
            self.assertEqual(connection.get("/hello").body, b"hello")

    @unittest.skipUnless(os.path.exists("/proc/net/if_inet6"), "no IPv6 here")
    def test_ipv6(self):
        with Server("environ_app", http=("[::1]:0",)) as server, server.connect() as connection:
            self.assertEqual(json.loads(connection.get("/").body)["REMOTE_ADDR"][1], "::1")

    def test_a_stale_unix_socket_is_replaced(self):
        path = os.path.join(self.folder, "socket")
        server = Server("response_app", http=(f"unix:{path}",)).start()
        server.kill()
        self.assertTrue(os.path.exists(path))
        eventually(lambda: self.refuses(path), "the kernel to take the dead server's ring apart")
        with Server("response_app", http=(f"unix:{path}",)) as server, server.connect() as connection:
            self.assertEqual(connection.get("/hello").body, b"hello")
        self.assertFalse(os.path.exists(path), "a server that ends removes its socket")

    def refuses(self, path):
        try:
            Connection(path).close()
            return False
        except ConnectionRefusedError:
            return True

"""Handlers that wait in blocking calls of the C library: time, descriptors, files, processes, names, other servers.

?SECONDS says how long, where it is for the handler to say; a FIFO's ?PATH leaves it to whoever opens the other end.
"""

import ctypes
import fcntl
import hashlib
import os
import select
import socket
import ssl
import subprocess
import tempfile
import time

import requests

from routes import Routes, as_json, plain

application = Routes()
_c_library = ctypes.CDLL(None, use_errno=True)


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


# Time


@application.at("/sleep")
def sleep(environ, start_response):
    time.sleep(float(environ["QUERY_STRING"]))
    return plain(start_response, b"slept")


@application.at("/c-usleep")
def c_usleep(environ, start_response):
    """No code of CPython's knows that this waits."""
    result = _c_library.usleep(ctypes.c_uint(int(float(environ["QUERY_STRING"]) * 1e6)))
    return as_json(start_response, result)


@application.at("/c-poll")
def c_poll(environ, start_response):
    result = _c_library.poll(None, ctypes.c_ulong(0), ctypes.c_int(int(float(environ["QUERY_STRING"]) * 1e3)))
    return as_json(start_response, result)


# Descriptors


def _with_select(fd, seconds):
    return bool(select.select([fd], [], [], seconds)[0])


def _with_poll(fd, seconds):
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(None if seconds is None else seconds * 1e3))


def _with_epoll(fd, seconds):
    with select.epoll() as epoll:
        epoll.register(fd, select.EPOLLIN)
        return bool(epoll.poll(seconds))


_WAYS = {"select": _with_select, "poll": _with_poll, "epoll": _with_epoll}


@application.at("/readable-in-time/")
def readable_in_time(environ, start_response):
    """Waits ?SECONDS for a pipe that never becomes readable."""
    reader, writer = os.pipe()
    try:
        return as_json(start_response, _WAYS[environ["PATH_INFO"].rsplit("/", 1)[1]](reader,
                                                                                      float(environ["QUERY_STRING"])))
    finally:
        os.close(reader)
        os.close(writer)


@application.at("/readable/")
def readable(environ, start_response):
    """Waits until the FIFO ?PATH is readable, and answers what is in it."""
    fd = os.open(environ["QUERY_STRING"], os.O_RDWR | os.O_NONBLOCK)
    try:
        assert _WAYS[environ["PATH_INFO"].rsplit("/", 1)[1]](fd, None)
        return plain(start_response, os.read(fd, 100))
    finally:
        os.close(fd)


@application.at("/fifo")
def fifo(environ, start_response):
    """Waits in open() for the FIFO's writer, then in read() for what it writes."""
    with open(environ["QUERY_STRING"], "rb") as opened:
        return plain(start_response, opened.read())


# Files


@application.at("/files")
def files(environ, start_response):
    """Writes ?MEBIBYTES, forces them to the disk, reads them back."""
    content = os.urandom(1 << 20) * int(environ["QUERY_STRING"])
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        with open(file.name, "rb") as again:
            same = hashlib.sha256(again.read()).digest() == hashlib.sha256(content).digest()
        direct = os.pread(file.fileno(), 1000, 500) == content[500:1500]
    return as_json(start_response, [same, direct])


@application.at("/file-lock/")
def file_lock(environ, start_response):
    """Waits for a lock on the file ?PATH, and adds one to the number in it."""
    lock = fcntl.flock if environ["PATH_INFO"].endswith("/flock") else fcntl.lockf
    with open(environ["QUERY_STRING"], "r+") as file:
        lock(file, fcntl.LOCK_EX)
        value = int(file.read()) + 1
        time.sleep(0.01)
        file.seek(0)
        file.write(str(value))
    return as_json(start_response, value)


# Processes


@application.at("/process-run")
def process_run(environ, start_response):
    return as_json(start_response, subprocess.run(["sleep", environ["QUERY_STRING"]]).returncode)


@application.at("/process-output")
def process_output(environ, start_response):
    return plain(start_response, subprocess.check_output(["sh", "-c", f"sleep {environ['QUERY_STRING']}; echo done"]))


@application.at("/process-talk")
def process_talk(environ, start_response):
    """More than a pipe holds, in both directions at once, with a time limit."""
    text = b"through two pipes\n" * 20_000
    with subprocess.Popen(["tr", "a-z", "A-Z"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        output, _ = child.communicate(text, timeout=10)
    return as_json(start_response, [output == text.upper(), child.returncode])


@application.at("/process-timeout")
def process_timeout(environ, start_response):
    try:
        subprocess.run(["sleep", "60"], timeout=float(environ["QUERY_STRING"]))
    except subprocess.TimeoutExpired:
        return plain(start_response, b"timed out")


@application.at("/system")
def system(environ, start_response):
    return as_json(start_response, os.waitstatus_to_exitcode(os.system(f"sleep {environ['QUERY_STRING']}; exit 3")))


# Names


@application.at("/resolve")
def resolve(environ, start_response):
    found = socket.getaddrinfo(environ["QUERY_STRING"], 80, type=socket.SOCK_STREAM)
    return as_json(start_response, sorted({address[0] for *_, address in found}))


@application.at("/resolve-unknown")
def resolve_unknown(environ, start_response):
    try:
        socket.getaddrinfo("not a name", 80)
    except socket.gaierror as error:
        return as_json(start_response, error.errno == socket.EAI_NONAME)


# Other servers


@application.at("/fetch")
def fetch(environ, start_response):
    """?URL, read by requests; TLS is verified against the file in SSL_AUTHORITY."""
    response = requests.get(environ["QUERY_STRING"], verify=os.environ.get("SSL_AUTHORITY", True), timeout=10)
    return plain(start_response, response.content)


@application.at("/fetch-unverified")
def fetch_unverified(environ, start_response):
    try:
        requests.get(environ["QUERY_STRING"], timeout=10)
    except requests.exceptions.SSLError as error:
        return plain(start_response, b"refused" if "CERTIFICATE_VERIFY_FAILED" in str(error) else b"?")


@application.at("/tls")
def tls(environ, start_response):
    """HOST:PORT/PATH by hand: a socket, a handshake, a read until the end."""
    where, _, path = environ["QUERY_STRING"].partition("/")
    host, port = where.split(":")
    context = ssl.create_default_context(cafile=os.environ["SSL_AUTHORITY"])
    with socket.create_connection((host, int(port)), timeout=10) as plain_socket:
        with context.wrap_socket(plain_socket, server_hostname=host) as secured:
            secured.settimeout(None)
            secured.sendall(f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: secured.recv(4096), b""))
    return plain(start_response, answer.partition(b"\r\n\r\n")[2])


@application.at("/read-timeout")
def read_timeout(environ, start_response):
    """A server that accepts and says nothing: settimeout must end it."""
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_connection(silent.getsockname()) as client:
        client.settimeout(float(environ["QUERY_STRING"]))
        try:
            client.recv(1)
        except TimeoutError:
            return plain(start_response, b"timed out")


@application.at("/accept")
def accept(environ, start_response):
    """Tells its port, accepts one connection and counts its bytes: /connect, another request, sends them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        start_response("200 OK", [("Content-Type", "text/plain")])(b"%d" % listener.getsockname()[1])
        accepted, _ = listener.accept()
        with accepted:
            return [b"%d" % sum(map(len, iter(lambda: accepted.recv(65536), b"")))]


@application.at("/connect")
def connect(environ, start_response):
    """Sends 10 MB, which is more than the kernel's buffers hold, to the port ?PORT."""
    with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"]))) as client:
        client.sendall(b"x" * 10_000_000)
    return plain(start_response, b"sent")

"""The module `uwsgi`, for programs that were written for uWSGI's async modes.

It is there when the pool says so (uwsgi_api). docs/UWSGI_API.md tells what differs from uWSGI on purpose. What uWSGI has
besides is not here: to look it up raises UnavailableCall, so that hasattr() is False and a call says what to use instead.
"""

from typing import Any, Callable, Mapping

class UnavailableCall(NotImplementedError, AttributeError):
    """uWSGI has it, and this server has not: its text says what to use instead."""

class RequestContext:
    """One request, for uwsgi's calls that take it from another greenlet."""

# Waiting. Seconds may have fractions; 0 and less is no timeout.

def suspend() -> bool:
    """Waits for what wait_fd_read(), wait_fd_write() and async_sleep() have asked for, or lets the others run. True."""

def green_schedule() -> bool:
    """The older name of suspend()."""

def wait_fd_read(fd: int, timeout: float = 0) -> bytes:
    """The next suspend() also waits for fd to become readable. OSError: there is no such descriptor, or no request."""

def wait_fd_write(fd: int, timeout: float = 0) -> bytes:
    """The next suspend() also waits for fd to become writable."""

def ready_fd() -> int:
    """The descriptor that has ended the last suspend(); -1: none did."""

def async_sleep(seconds: float, /) -> bytes:
    """The next suspend() ends after so many seconds at the latest."""

def request_context() -> RequestContext:
    """Stands for the current request where other code works for it."""

# Descriptors

def async_connect(address: str, /) -> int:
    """Begins to connect to "host:port" or a unix socket's path. -1: it cannot be."""

def connect(address: str, timeout: float = 0) -> int:
    """Connects in so many seconds; 0: in 3. -1: it cannot be."""

def is_connected(fd: int, /) -> bool:
    """Whether no error of this socket is known."""

def send(fd: Any, data: bytes = ...) -> bool | None:
    """send([fd,] data): writes all of it, to the client's connection if no descriptor is given. None: that failed."""

def recv(fd: int, max_size: int = 4096) -> bytes | None:
    """What one read gives, 4096 bytes at most. None at the end, and when it failed."""

def close(fd: int, /) -> None:
    """Closes the descriptor."""

def connection_fd() -> int:
    """A descriptor of the client's connection, to wait for; closed after the request."""

def disconnect() -> None:
    """The response is complete as it is, and the client's connection ends. The request goes on."""

def chunked_read(timeout: float = 0) -> bytes:
    """The next chunk of the request's body, b'' at its end. TimeoutError after so many seconds."""

def chunked_read_nb() -> bytes | None:
    """The same; None when it has not arrived yet."""

# The request

def cl() -> int:
    """The request's Content-Length; 0 without one."""

def request_id() -> int:
    """The number of the request: no other of this worker has it."""

def set_logvar(key: str | bytes, value: str | bytes, /) -> None:
    """The access log's line of the request has it too."""

def get_logvar(key: str | bytes, /) -> bytes | None:
    """What set_logvar() was given."""

def add_var(key: str, value: str, /) -> bool:
    """Sets a key of the request's environ."""

def log_this_request() -> None:
    """Nothing to do: the access log has every request."""

def set_user_harakiri(seconds: float, /) -> None:
    """The request times out in so many seconds; 0: when it would have."""

# The worker and its master

def worker_id() -> int:
    """Of this worker, from 1."""

def masterpid() -> int:
    """Of the master; 0 without one."""

def mule_id() -> int:
    """0: there are no mules."""

def i_am_the_spooler() -> None:
    """None: there is no spooler."""

def micros() -> int:
    """Microseconds since 1970."""

def ready() -> bool | None:
    """True; None while the application is imported."""

def mem() -> tuple[int, int]:
    """This worker's memory in bytes: resident, and address space."""

def workers() -> tuple[dict[str, Any], ...]:
    """A dictionary for each worker of the pool."""

def total_requests() -> int:
    """Of all workers of the pool."""

def reload() -> bool | None:
    """Has the master replace the pool's workers. None: there is no master."""

def stop() -> bool | None:
    """Has the master end the server. None: there is no master."""

def log(line: str | bytes, /) -> bool:
    """Writes a line to the error log."""

def alarm(name: str | bytes, message: str | bytes, /) -> None:
    """Writes both to the error log."""

def setprocname(name: str | bytes, /) -> None:
    """What ps and top call this worker."""

def accepting(accepting: bool = ..., /) -> None:
    """Nothing to do: the master knows which worker accepts."""

def listen_queue(socket: int = 0) -> int:
    """How many connections wait to be accepted. ValueError: there is no such socket."""

# Signals, between the workers of a pool

def register_signal(number: int, target: str, handler: Callable[[int], object], /) -> None:
    """The handler is called for each signal of that number, in a green thread of its own."""

def signal(number: int, remote: str = ..., /) -> None:
    """Sends a signal to the workers that it was registered for."""

def signal_wait(number: int = ..., /) -> bytes:
    """Waits until a signal, or that one, comes for this worker."""

def signal_received() -> int:
    """The signal that ended the request's last signal_wait(); -1: none did."""

def signal_registered(number: int, /) -> bool | None:
    """True or None."""

def add_timer(number: int, seconds: float, /) -> None:
    """Sends the signal every so many seconds."""

def add_ms_timer(number: int, milliseconds: float, /) -> None:
    """Sends the signal every so many milliseconds."""

def add_rb_timer(number: int, seconds: float, iterations: int = 0, /) -> None:
    """Sends the signal so many seconds after the one before, and so many times; 0: for ever."""

def add_cron(number: int, minute: int, hour: int, day: int, month: int, weekday: int, /) -> bool:
    """Sends the signal as a line of crontab says; -1: each, -5: every fifth."""

def add_file_monitor(number: int, path: str, /) -> None:
    """Sends the signal when a file or an entry of a directory changes."""

# Locks of the pool, 0 to 255

def lock(number: int = 0, /) -> None:
    """Waits in line for it."""

def unlock(number: int = 0, /) -> None:
    """Who waits longest gets it."""

def is_locked(number: int = 0, /) -> bool:
    """Whether any worker of the pool holds it."""

opt: Mapping[str, Any]
version: bytes
version_info: tuple[int, int, int, int, bytes]
hostname: bytes
numproc: int
cores: int
loop: bytes | None
has_threads: int
sockets: list[int]
started_on: int
buffer_size: int
magic_table: dict[bytes, bytes]
is_a_reload: bool
applications: Any
unbit: None
SPOOL_OK: int
SPOOL_RETRY: int
SPOOL_IGNORE: int

# There only if the operator has said so.
mode: bytes
pidfile: bytes

# The current request's environ, in code that handles one.
env: dict[str, Any]

# For the program to assign.
post_fork_hook: Callable[[], object] | None
atexit: Callable[[], object] | None
after_req_hook: Callable[[], object] | None

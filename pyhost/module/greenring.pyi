"""Green threads, channels and deadlines of the Greenring server that runs this program.

docs/PYTHON_API.md explains them. Seconds are int or float; a timeout of None waits for ever, one of 0 not at all.
"""

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Generic, ParamSpec, TypeVar, final, overload

from _typeshed import SupportsWrite

_Function = TypeVar("_Function", bound=Callable[..., object])
_P = ParamSpec("_P")
_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)
_D = TypeVar("_D")

class RequestTimeout(BaseException):
    """The time that a request or a block had is over.

    Not an Exception, so that ``except Exception`` does not swallow it.
    """

    seconds: float | None
    """How long there was; None if the application made the exception."""

    timeout: _Timeout | None
    """The ``timeout`` that expired; None: the request's own deadline."""

class Cancelled(BaseException):
    """This green thread was cancelled: by its handle, or because the client is gone.

    Not an Exception, so that ``except Exception`` does not swallow it.
    """

    reason: str
    """"cancelled", "disconnected" or "draining"."""

class timeout:
    """A block that may take so long, and no longer: RequestTimeout is raised in it where it waits or computes.

    ::

        try:
            with greenring.timeout(2):
                rows = query()
        except greenring.RequestTimeout:
            rows = cached

    Blocks nest; ``RequestTimeout.timeout`` tells whose time was over. What has expired and could not be raised inside
    is raised when the block is left, from the error that the block ended with, if any. As a decorator it limits each
    call of the function. In requests of all engines but ``thread``, and in green threads: RuntimeError elsewhere.
    """

    def __init__(self, seconds: float) -> None:
        """0 and less: the first call that waits ends at once. ``math.inf``: never expires."""

    @property
    def seconds(self) -> float:
        """How long the block may take."""

    @property
    def expired(self) -> bool:
        """Whether the time was over before the block was left."""

    @property
    def remaining(self) -> float:
        """The seconds that are left; 0 when the time is over."""

    def extend(self, seconds: float) -> None:
        """Gives the block that many seconds more. RuntimeError: it is not entered, or has expired."""

    def __enter__(self) -> timeout: ...
    def __exit__(
        self,
        type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool: ...
    def __call__(self, function: _Function) -> _Function: ...

_Timeout = timeout

class ChannelClosed(Exception):
    """Nothing more can be sent to a channel, or nothing is left to receive; `channel` is the channel."""

    channel: Channel[Any]

class ResultCancelled(Exception):
    """The result of a function that was cancelled, or whose time was over: __cause__ tells which."""

@final
class Handle(Generic[_T_co]):
    """A function that go() has started. Any number of threads may wait for it.

    Whether or not somebody holds it, the function runs to its end. An exception that it ends with and that nobody asks
    for is told to sys.unraisablehook, which prints it, when the handle is dropped.
    """

    @property
    def name(self) -> str:
        """The function's name."""
    @property
    def id(self) -> int | None:
        """The id of its green thread; None: it has none yet, because the server is not ready."""
    def join(self, timeout: float | None = None) -> bool:
        """Waits for its end, whatever that is. False: the timeout came first."""
    def result(self, timeout: float | None = None) -> _T_co:
        """Waits, and returns what the function returned or raises what it raised.

        TimeoutError: it has not ended in that time. ResultCancelled: it ended with Cancelled or RequestTimeout.
        """
    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Waits, and returns what the function raised, or None. TimeoutError: it has not ended in that time."""
    def cancel(self) -> bool:
        """Raises Cancelled in the function, where it waits or computes; one that has not begun is not run.

        False: it had ended. Does not wait for the end, and may be called again if the function swallows it.
        """
    def done(self) -> bool:
        """Whether it has ended."""
    def cancelled(self) -> bool:
        """Whether it has ended with Cancelled."""

def go(function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Handle[_T]:
    """Runs the function on a green thread of its own, in a copy of the caller's context variables.

    It begins when the caller waits, yields or ends, and goes on when the response has been sent; a server that ends
    waits for it as for a request. What is started while the application is imported runs when the server is ready. Any
    thread may call it.
    """

@final
class Case(Generic[_T_co]):
    """One thing that select() may do: made by Channel.on_recv() and Channel.on_send()."""

@final
class Channel(Generic[_T]):
    """Values handed from one thread to another: green threads, and OS threads too.

    With capacity 0 each send() waits for its recv(). Values arrive in the order of their sends; who waits longest is
    served first.
    """

    def __init__(self, capacity: int = 0) -> None: ...
    @property
    def capacity(self) -> int:
        """How many values the buffer holds."""
    @property
    def closed(self) -> bool:
        """Whether close() was called."""
    @property
    def balance(self) -> int:
        """How many wait in send(), or, as a negative number, in recv()."""
    def send(self, value: _T, timeout: float | None = None) -> None:
        """Waits until the value is received, or in the buffer.

        ChannelClosed: it is closed, before or meanwhile. TimeoutError: the timeout came first. In both cases nobody
        gets the value.
        """
    def recv(self, timeout: float | None = None) -> _T:
        """Waits for a value. ChannelClosed: it is closed and empty. TimeoutError: the timeout came first."""
    def close(self) -> None:
        """Nothing more can be sent, and every wait ends; what is in the buffer can still be received."""
    def on_recv(self) -> Case[_T]:
        """For select(): receiving from this channel."""
    def on_send(self, value: _T, /) -> Case[None]:
        """For select(): sending the value to this channel."""
    def __iter__(self) -> Iterator[_T]:
        """Receives until the channel is closed and empty."""
    def __next__(self) -> _T: ...
    def __len__(self) -> int:
        """How many values are in the buffer."""
    def __bool__(self) -> bool:
        """True, also when it is empty."""

@overload
def select(
    *cases: Channel[_T] | Case[_T] | None, timeout: float | None = None
) -> tuple[Channel[_T] | Case[_T], _T]: ...
@overload
def select(*cases: Channel[Any] | Case[Any] | None, timeout: float | None = None) -> tuple[object, Any]: ...
@overload
def select(*cases: Channel[Any] | Case[Any] | None, timeout: float | None = None, default: _D) -> tuple[object, Any]:
    """Waits until one of the cases can be done, does it, and returns it and what it received (None: it sent).

    A channel stands for receiving from it; None never happens, which is how to leave one out. If several can be done
    each has the same chance. When the time is over: (None, default), or TimeoutError without a default. A default
    without a timeout does not wait. ChannelClosed: one is closed, and its `channel` tells which.
    """

@final
class WaitGroup:
    """Waits until a number of things have ended."""

    def __init__(self) -> None: ...
    def add(self, count: int = 1) -> None:
        """So many more have to end."""
    def done(self) -> None:
        """One has ended. ValueError: more than there were."""
    def wait(self, timeout: float | None = None) -> bool:
        """Waits until all have ended. False: the timeout came first."""
    def go(self, function: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs) -> Handle[_T]:
        """As greenring.go(), counted until it has ended, however that is."""

@final
class GreenThread:
    """A green thread, as it was when this was asked for."""

    @property
    def name(self) -> str:
        """What it does."""
    @property
    def id(self) -> int:
        """No other has it, or will."""
    @property
    def stack_size(self) -> int:
        """In bytes."""

def sleep(seconds: float, /) -> None:
    """Waits; the others run meanwhile. time.sleep() does the same."""

def yield_() -> None:
    """Lets every other green thread that can run do so first."""

def current() -> GreenThread | None:
    """The green thread that calls it; None on other threads."""

def set_request_timeout(seconds: float | None) -> None:
    """The request that this thread handles times out so long after it began; None: not at all.

    Overrides --request_timeout. No effect once the request has timed out. RuntimeError where no request is handled: in
    threads that a request has started, too.
    """

def set_cancel_on_disconnect(cancel: bool) -> None:
    """Whether Cancelled is raised in the request that this thread handles when its client is gone.

    Overrides --cancel_on_disconnect. If the client is gone already, Cancelled is raised by this call.
    """

def in_request() -> bool:
    """Whether this thread handles a request, so that the two above can be called."""

def request_timeout(seconds: float | None) -> Callable[[_Function], _Function]:
    """Decorator of a view: calls set_request_timeout(seconds) whenever the view is called in a request."""

def cancel_on_disconnect(view: _Function) -> _Function:
    """Decorator of a view: calls set_cancel_on_disconnect(True) whenever the view is called in a request."""

@final
class AuditRecord(tuple[Any, ...]):
    """What blocked the loop, and with it every request: a named tuple."""

    @property
    def kind(self) -> str:
        """How: "system call NAME", "page fault" or "C code that computes", each with or without the GIL, or "waiting for
        the GIL, which another OS thread has"."""
    @property
    def library(self) -> str:
        """Whose code it was: a path; "python" for the interpreter and what is built into it; "" if not known."""
    @property
    def function(self) -> str:
        """A symbol of the library, else an offset in it; may be empty."""
    @property
    def line(self) -> str:
        """The innermost line of Python code."""
    @property
    def stack(self) -> str:
        """The lines of Python code that led there the first time, the innermost last."""
    @property
    def times(self) -> int:
        """How often."""
    @property
    def total_s(self) -> float: ...
    @property
    def longest_s(self) -> float: ...

def audit_report() -> list[AuditRecord]:
    """What has blocked the loop so far, the worst first; empty for an application that is green-safe. RuntimeError where
    the server was started without --audit."""

@final
class ThreadInfo(tuple[Any, ...]):
    """A green thread as it was when threads() was called: a named tuple."""

    @property
    def id(self) -> int:
        """Unlike any other green thread's."""

    @property
    def name(self) -> str:
        """What it was started as: core, thread, main."""

    @property
    def state(self) -> str:
        """running, runnable or parked; abandoned: its stack overflowed, and it never runs again."""

    @property
    def waiting_for(self) -> str | None:
        """What it is parked in, with the peer of its descriptor or the holder of its lock; None: it is not parked."""

    @property
    def call(self) -> str | None:
        """The call that it is parked in: recv, sem_wait, idle."""

    @property
    def fd(self) -> int | None:
        """The descriptor that it waits for."""

    @property
    def holder(self) -> int | None:
        """The id of the green thread that holds the lock which this one waits for."""

    @property
    def seconds(self) -> float:
        """How long it has been parked there, or in its state."""

    @property
    def timeout(self) -> float | None:
        """In how many seconds its wait ends by itself."""

    @property
    def cpu_seconds(self) -> float:
        """How long it has had the OS thread."""

    @property
    def switches(self) -> int:
        """How often it was switched in."""

    @property
    def stack_used(self) -> int:
        """Bytes of stack at its deepest, whole pages."""

    @property
    def stack_size(self) -> int:
        """Bytes of stack that it has."""

    @property
    def request(self) -> str | None:
        """The request that it serves: GET /cart."""

def threads() -> list[ThreadInfo]:
    """All green threads, by their ids. RuntimeError on other threads."""

def dump(file: SupportsWrite[str] | None = None) -> str:
    """All green threads with their Python stacks, as SIGUSR1 writes them to the error log; also written to `file`.

    docs/DEBUGGING.md explains what it says. RuntimeError on other threads.
    """

@final
class StackReport(tuple[int, int, int, int, int]):
    """How much stack green threads need, in bytes."""

    @property
    def size(self) -> int:
        """What each green thread has (--stack_size)."""
    @property
    def used(self) -> int:
        """What the caller uses now; 0 on no green thread."""
    @property
    def deepest(self) -> int:
        """What the deepest of all has used so far. More than `size`: in an overflow."""
    @property
    def overflows(self) -> int:
        """How many times a stack has overflowed."""
    @property
    def recommended(self) -> int:
        """What --stack_size should be."""

def stack_report() -> StackReport:
    """How much stack green threads have, use and need.

    A system call for each stack: not for every request. RuntimeError in another OS thread, or while the application is
    being imported.
    """

"""Green threads, channels and deadlines of the Greenring server that runs this program."""

from types import TracebackType
from typing import Callable, Optional, Type, TypeVar

_Function = TypeVar("_Function", bound=Callable[..., object])

class RequestTimeout(BaseException):
    """The time that a request or a block had is over.

    Not an Exception, so that ``except Exception`` does not swallow it.
    """

    seconds: Optional[float]
    """How long there was; None if the application made the exception."""

    timeout: Optional[timeout]
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
    call of the function. In green threads only: RuntimeError elsewhere.
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
        type: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> bool: ...
    def __call__(self, function: _Function) -> _Function: ...

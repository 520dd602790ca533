"""Green threads, channels and deadlines of the Greenring server that runs this program."""

class RequestTimeout(BaseException):
    """The time that a request or a block had is over."""

class Cancelled(BaseException):
    """This green thread was cancelled: by its handle, or because the client is gone."""

"""Engine `greenlet`: a core is a greenlet of a hub of the server's own."""

from hub_case import HubCase, HubDeadlineTests, HubDisconnectTests, HubTests

QUIET = ("timed out after", "the request was cancelled", "RequestTimeout", "Cancelled", "Traceback", "  File", "    ")


class Greenlets(HubTests, HubCase):
    engine = "greenlet"


class GreenletDeadlines(HubDeadlineTests, HubCase):
    engine = "greenlet"
    flags = ("--async_cores=8", "--request_timeout=0.5s", "--request_timeout_grace=30s")
    usual = QUIET


class GreenletDisconnects(HubDisconnectTests, HubCase):
    engine = "greenlet"
    flags = ("--async_cores=8", "--cancel_on_disconnect=on")
    usual = QUIET

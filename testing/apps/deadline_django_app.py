"""Views of Django under greenring's decorators; middleware that sees every exception."""

import json
import time

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

import greenring

settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="only for tests",
                   MIDDLEWARE=["django.middleware.common.CommonMiddleware"])
_events = []


def index(request):
    return HttpResponse("hello")


def events(request):
    noted = json.dumps(_events)
    _events.clear()
    return HttpResponse(noted)


@greenring.request_timeout(0.5)
def slow(request, seconds):
    try:
        time.sleep(int(seconds))
    except BaseException as error:
        _events.append(type(error).__name__)
        raise
    return HttpResponse(slow.__name__)


@greenring.cancel_on_disconnect
def cancellable(request, seconds):
    try:
        time.sleep(int(seconds))
    except BaseException as error:
        _events.append(type(error).__name__)
        raise
    return HttpResponse("slept")


urlpatterns = [path("", index), path("events", events), path("slow/<int:seconds>", slow),
               path("cancellable/<int:seconds>", cancellable)]
application = get_wsgi_application()

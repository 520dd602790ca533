"""Signals and locks of uWSGI: what its handlers see goes, a line each, to the file that EVENTS names."""

import os
import threading
import time

import uwsgi
import uwsgidecorators
from routes import Routes, as_json, plain

application = Routes()
DIRECTORY = os.environ["EVENTS_DIRECTORY"]
EVENTS = os.path.join(DIRECTORY, "events")
WATCHED = os.path.join(DIRECTORY, "watched")


def note(what):
    with open(EVENTS, "a", encoding="utf-8") as file:
        file.write(f"{time.time()} {uwsgi.worker_id()} {os.getpid()} {what}\n")


def noted(name):
    return lambda number: note(f"{name} {number}")


uwsgi.register_signal(1, "worker", noted("any"))
uwsgi.register_signal(2, "workers", noted("all"))
uwsgi.register_signal(3, "worker2", noted("second"))


def slow(number):
    note("slow begins")
    time.sleep(1.5)
    note("slow ends")


uwsgi.register_signal(4, "worker1", slow)


def fails(number):
    raise ValueError("the handler's own error")


uwsgi.register_signal(5, "worker1", fails)
uwsgi.register_signal(6, "worker1", noted("monitor"))
uwsgi.add_file_monitor(6, WATCHED)


@uwsgidecorators.rbtimer(0.2, 3)
def three_times(number):
    note("three times")


@uwsgidecorators.timer(0.5, target="worker1")
def ticks(number):
    note("tick")


@uwsgidecorators.cron(-1, -1, -1, -1, -1)
def each_minute(number):
    note("minute")


@uwsgidecorators.postfork
def forked():
    note("postfork")


@uwsgidecorators.thread
def in_thread():
    return None


@uwsgidecorators.lock
def locked():
    return uwsgi.is_locked()


@application.at("/")
def hello(environ, start_response):
    return plain(start_response, b"hello")


@application.at("/signal")
def signal(environ, start_response):
    for number in environ["QUERY_STRING"].split(","):
        uwsgi.signal(int(number))
    return plain(start_response, b"sent")


@application.at("/wait")
def wait(environ, start_response):
    note("waits")
    result = uwsgi.signal_wait(int(environ["QUERY_STRING"]))
    return as_json(start_response, [repr(result), uwsgi.signal_received()])


def outcome(call, *arguments):
    try:
        return repr(call(*arguments))
    except Exception as error:
        return type(error).__name__


@application.at("/errors")
def errors(environ, start_response):
    return as_json(start_response, [
        outcome(uwsgi.register_signal, 256, "", print),
        outcome(uwsgi.register_signal, 20, "mule1", print),
        outcome(uwsgi.register_signal, 20, "worker99", print),
        outcome(uwsgi.add_timer, 20, 0),
        outcome(uwsgi.add_cron, 20, 60, -1, -1, -1, -1),
        outcome(uwsgi.add_file_monitor, 20, "/no/such/directory/at/all"),
        outcome(uwsgi.signal, 20),
        outcome(uwsgi.signal, 20, "127.0.0.1:3031"),
        outcome(uwsgi.lock, 256),
        outcome(uwsgi.unlock, 9),
        outcome(uwsgidecorators.spool, print),
    ])


@application.at("/registered")
def registered(environ, start_response):
    return as_json(start_response, [uwsgi.signal_registered(1), uwsgi.signal_registered(200)])


@application.at("/lock")
def lock(environ, start_response):
    """Holds lock 0 for so many seconds."""
    uwsgi.lock()
    note("locked")
    time.sleep(float(environ["QUERY_STRING"]))
    note("unlocks")
    uwsgi.unlock()
    return as_json(start_response, [uwsgi.worker_id(), os.getpid()])


@application.at("/lock-in-thread")
def lock_in_thread(environ, start_response):
    thread = threading.Thread(target=uwsgi.lock)
    thread.start()
    thread.join()
    held = uwsgi.is_locked()
    uwsgi.unlock()
    return as_json(start_response, [held, uwsgi.is_locked(), locked(), in_thread().join()])


@application.at("/is-locked")
def is_locked(environ, start_response):
    return as_json(start_response, uwsgi.is_locked())


@application.at("/workers")
def workers(environ, start_response):
    return as_json(start_response, [{key: worker[key] for key in ("id", "pid", "requests")}
                                    for worker in uwsgi.workers()])


@application.at("/reload")
def reload(environ, start_response):
    return as_json(start_response, uwsgi.reload())


@application.at("/stop")
def stop(environ, start_response):
    return as_json(start_response, uwsgi.stop())

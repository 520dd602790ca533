"""A chat for many users at once: each has a request that waits until somebody has said something.

    GET  /                       the page
    GET  /messages?after=NUMBER  what was said after that; waits for it, at most 25 s
    POST /messages               name and text of a form

It lives in one worker's memory: serve it with one worker.
"""

import json
import socket

from bottle import Bottle, HTTPResponse, request
import uwsgi

WAIT_S = 25
KEPT = 100

PAGE = """<!doctype html>
<meta charset="utf-8"><title>Chat</title>
<form><input name="name" placeholder="name" required> <input name="text" placeholder="say something" required>
<button>Send</button></form>
<ol></ol>
<script>
const form = document.forms[0], list = document.querySelector("ol");
form.onsubmit = event => {
  event.preventDefault();
  fetch("messages", {method: "POST", body: new URLSearchParams(new FormData(form))});
  form.text.value = "";
};
(async () => {
  for (let after = 0;;) {
    const said = await (await fetch("messages?after=" + after)).json();
    for (const message of said.messages) {
      const line = document.createElement("li");
      line.textContent = message.name + ": " + message.text;
      list.append(line);
    }
    after = said.last;
  }
})();
</script>
"""

application = Bottle()
messages = []  # {number, name, text}, the newest last
waiting = set()  # a socket for each request that waits; its other end is what that one waits for


def wait_for_message():
    """Until something is said, or WAIT_S have passed."""
    bell, ear = socket.socketpair()
    waiting.add(bell)
    try:
        uwsgi.wait_fd_read(ear.fileno(), WAIT_S)
        uwsgi.suspend()
    finally:
        waiting.discard(bell)
        bell.close()
        ear.close()


def answer(**values):
    """As a response of its own: Bottle's `response` is, under uGreen, another request's after a wait."""
    return HTTPResponse(json.dumps(values), content_type="application/json")


@application.get("/")
def page():
    return PAGE


@application.get("/messages")
def hear():
    after = int(request.query.get("after", 0))  # not after the wait: see answer()
    if not any(message["number"] > after for message in messages):
        wait_for_message()
    new = [message for message in messages if message["number"] > after]
    return answer(messages=new, last=new[-1]["number"] if new else after)


@application.post("/messages")
def say():
    number = messages[-1]["number"] + 1 if messages else 1
    messages.append({"number": number, "name": request.forms.name[:40], "text": request.forms.text[:1000]})
    del messages[:-KEPT]
    for bell in list(waiting):
        bell.send(b"!")
    return answer(number=number)


@application.get("/users")
def users():
    return answer(waiting=len(waiting))

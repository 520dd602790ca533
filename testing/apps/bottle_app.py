"""A wiki in Bottle: forms, signed cookies, templates, uploads, static files, streaming."""

import os

import bottle
from bottle import Bottle, HTTPError, redirect, request, response, static_file, template

app = Bottle()
_pages = {}


@app.get("/")
def index():
    return "a Bottle application"


@app.get("/wiki/<title>")
def page(title):
    if title not in _pages:
        raise HTTPError(404, f"no page {title}")
    return template("<h1>{{title}}</h1>{{text}}<p>by {{author}}</p>", title=title, text=_pages[title],
                    author=request.get_cookie("author", secret="only for tests") or "anonymous")


@app.post("/wiki/<title>")
def edit(title):
    _pages[title] = request.forms.text
    response.set_cookie("author", request.forms.author, secret="only for tests", path="/")
    redirect(f"/wiki/{title}", 303)


@app.post("/upload")
def upload():
    file = request.files.file
    return {"name": file.raw_filename, "type": file.content_type, "size": len(file.file.read()),
            "note": request.forms.note}


@app.put("/body")
def body():
    response.content_type = "application/octet-stream"
    return request.body.read()


@app.get("/stream")
def stream():
    response.content_type = "text/plain"
    for number in range(5):
        yield f"row {number}\n"


@app.get("/static/<name>")
def static(name):
    return static_file(name, root=os.path.dirname(os.path.abspath(__file__)), mimetype="text/plain")


@app.get("/broken")
def broken():
    raise RuntimeError("a bug in the Bottle application")


bottle.debug(False)
application = app

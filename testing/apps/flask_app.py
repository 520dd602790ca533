"""A small guest book in Flask: forms, sessions, templates, uploads, streaming, files, errors."""

import io

from flask import Flask, Response, abort, flash, jsonify, redirect, request, send_file, session, stream_with_context, \
    url_for
from flask import get_flashed_messages, make_response, render_template_string

app = Flask(__name__)
app.secret_key = "only for tests"

_PAGE = """<!doctype html><title>Guests</title>
{% for message in get_flashed_messages() %}<p class="flash">{{ message }}</p>{% endfor %}
<ul>{% for guest in guests %}<li>{{ guest }}</li>{% endfor %}</ul>
<p>{{ name or "nobody" }} at {{ url_for("guests", _external=True) }}</p>"""
_guests = []


@app.get("/")
def index():
    return "a Flask application"


@app.get("/guests")
def guests():
    return render_template_string(_PAGE, guests=_guests, name=session.get("name"))


@app.post("/guests")
def sign():
    name = request.form["name"]
    _guests.append(name)
    session["name"] = name
    session["visits"] = session.get("visits", 0) + 1
    flash(f"Welcome, {name}")
    return redirect(url_for("guests"))


@app.get("/visits")
def visits():
    return jsonify(visits=session.get("visits", 0))


@app.post("/upload")
def upload():
    file = request.files["file"]
    data = file.read()
    return jsonify(name=file.filename, type=file.mimetype, size=len(data), note=request.form.get("note"),
                   sum=sum(data) % 65536)


@app.post("/json")
def json_body():
    return jsonify(got=request.get_json(), type=request.mimetype)


@app.put("/raw")
def raw():
    return Response(request.get_data(), mimetype="application/octet-stream")


@app.get("/search")
def search():
    return jsonify(q=request.args.getlist("q"), path=request.path, full=request.full_path, address=request.remote_addr)


@app.get("/user/<name>")
def user(name):
    return f"user {name}"


@app.get("/stream")
def stream():
    def rows():
        for number in range(5):
            yield f"{request.args['prefix']}{number}\n"
    return Response(stream_with_context(rows()), mimetype="text/plain")


@app.get("/file")
def file():
    return send_file(io.BytesIO(bytes(range(256)) * 256), mimetype="application/octet-stream", download_name="all.bin",
                     as_attachment=True)


@app.get("/source")
def source():
    return send_file(__file__, mimetype="text/x-python", conditional=True)


@app.get("/cookies")
def cookies():
    response = make_response(jsonify(request.cookies))
    response.set_cookie("first", "1", httponly=True)
    response.set_cookie("second", "zwei", max_age=60)
    return response


@app.get("/teapot")
def teapot():
    abort(418)


@app.get("/broken")
def broken():
    raise KeyError("a bug in the Flask application")


@app.errorhandler(404)
def not_found(error):
    return f"no such page: {request.path}", 404


application = app

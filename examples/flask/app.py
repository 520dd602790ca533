"""A guest book in Flask. It keeps its guests in memory: with one worker process, that is enough."""

from flask import Flask, flash, redirect, render_template, request, session, url_for

app = Flask(__name__)
app.secret_key = "change me"

guests = []


@app.get("/")
def index():
    return render_template("index.html", guests=guests, name=session.get("name", ""))


@app.post("/")
def sign():
    name = request.form["name"].strip()
    if name:
        session["name"] = name
        guests.append((name, request.form["words"].strip()))
        flash(f"Thank you, {name}!")
    return redirect(url_for("index"))

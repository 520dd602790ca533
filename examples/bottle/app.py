"""A page in Bottle that counts its visits in a signed cookie."""

from bottle import Bottle, request, response, template

app = Bottle()

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Hello {{name}}</title>
<style>body { font: 18px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 10vh auto; color: #1c2b24 }</style>
<h1>Hello {{name}}</h1>
<p>You have been here {{visits}} time{{"" if visits == 1 else "s"}}.</p>
<p>Try <a href="/hello/Ada">/hello/Ada</a>.</p>
</html>
"""


@app.get("/")
@app.get("/hello/<name>")
def hello(name="stranger"):
    visits = int(request.get_cookie("visits", 0, secret="change me")) + 1
    response.set_cookie("visits", str(visits), secret="change me", path="/")
    return template(PAGE, name=name, visits=visits)

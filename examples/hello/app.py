"""The smallest WSGI application with a face: one page that says who served it."""

import html
import os
import sys
import threading

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Greenring</title>
<style>
  body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 38rem; margin: 12vh auto; padding: 0 1rem; color: #1c2b24 }}
  h1 {{ color: #17794d; font-weight: 600 }}
  dt {{ color: #5c6f66 }}  dd {{ margin: 0 0 .6rem; font-family: ui-monospace, monospace; font-size: 15px }}
</style>
<h1>Hello from a green thread</h1>
<p>This page was made by an ordinary, blocking WSGI function, on a green thread of its own.</p>
<dl>{facts}</dl>
<p>Edit <code>examples/hello/app.py</code> and start again, or serve your own:<br>
<code>tools/dev run -- --app=module:callable --chdir=DIR</code></p>
</html>
"""


def app(environ, start_response):
    facts = {
        "request": f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}",
        "from": environ.get("REMOTE_ADDR") or "a Unix socket",
        "process": os.getpid(),
        "thread, as Python sees it": threading.get_ident(),
        "Python": sys.version.split()[0],
    }
    rows = "".join(f"<dt>{name}</dt><dd>{html.escape(str(value))}</dd>" for name, value in facts.items())
    body = PAGE.format(facts=rows).encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]

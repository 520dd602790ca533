"""The client of the framework tests: http.client with cookies, redirects, forms and uploads.

    browser = Browser(server.address)
    page = browser.post_form("/guests", name="Ada")    # follows the redirect
"""

import http.client
import urllib.parse

from wire import DEADLINE_S


class Page:
    def __init__(self, response):
        self.status, self.headers = response.status, response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode("utf-8")


class Browser:
    """One keep-alive connection."""

    def __init__(self, address):
        self._connection = http.client.HTTPConnection(*address, timeout=DEADLINE_S)
        self.cookies = {}

    def close(self):
        self._connection.close()

    def request(self, method, path, body=None, headers=None, follow=True):
        headers = dict(headers or {})
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, headers)
        page = Page(self._connection.getresponse())
        for cookie in page.headers.get_all("Set-Cookie", []):
            name, value = cookie.split(";", 1)[0].split("=", 1)
            self.cookies[name] = value
        if follow and page.status in (301, 302, 303, 307):
            target = urllib.parse.urlsplit(page.headers["Location"])
            return self.request("GET", urllib.parse.urlunsplit(("", "", *target[2:])))
        return page

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post_form(self, path, follow=True, **fields):
        return self.request("POST", path, urllib.parse.urlencode(fields),
                            {"Content-Type": "application/x-www-form-urlencoded"}, follow)

    def upload(self, path, name, data, **fields):
        mark = "----e2e-boundary"
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
                 for key, value in fields.items()]
        parts.append(f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
                     "Content-Type: image/png\r\n\r\n".encode() + data + b"\r\n")
        body = b"".join(parts) + f"--{mark}--\r\n".encode()
        return self.request("POST", path, body, {"Content-Type": f"multipart/form-data; boundary={mark}"})

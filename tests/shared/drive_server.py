"""A local server that plays Google Drive and other hosts, with all their bad days."""

import json
import threading
import zlib
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from requests.adapters import HTTPAdapter

QUOTA = (
    '<html><title>Google Drive - Quota exceeded</title><p class="uc-error-subcaption">Too many '
    'users have '
    "viewed or downloaded this file recently. Please try accessing the file again later.</p></html>"
)
NOT_SHARED = "<html><title>Google Drive: Sign-in</title><body>You need access</body></html>"
CONFIRM = (
    '<html><form id="download-form" action="https://drive.usercontent.google.com/download" '
    'method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" '
    'value="t"></form></html>'
)


class World:
    """What the servers hold, and what they were asked.

    Args:
        files: file id or address (host/path) -> content, for as long as it behaves.
        moods: the same -> a list of moods, one an answer: "ok", "quota", "not shared", "html",
            "cut" (the connection ends half-way), "500", "404", "no ranges", "endless", "packed"
            (endless zeros, packed).
        folders: id -> {name: file id}.
    """

    def __init__(self):
        self.files, self.moods, self.folders, self.asked = {}, {}, {}, []

    def mood(self, key):
        moods = self.moods.get(key, ["ok"])
        return moods.pop(0) if len(moods) > 1 else moods[0]


@contextmanager
def serve(monkeypatch):
    """Run a `World` and send every request of the `requests` package to it, gdown's among them."""
    world = World()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Answers", (Answers,), {"world": world}))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    send = HTTPAdapter.send

    def redirected(self, request, **options):
        asked = request.url
        parts = urlsplit(asked)
        query = f"?{parts.query}" if parts.query else ""
        request.url = f"http://127.0.0.1:{server.server_port}/{parts.netloc}{parts.path}{query}"
        answer = send(self, request, **options | {"verify": False, "proxies": {}})
        answer.url = asked
        return answer

    monkeypatch.setattr(HTTPAdapter, "send", redirected)
    try:
        yield world
    finally:
        server.shutdown()
        server.server_close()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        parts, query = urlsplit(self.path), parse_qs(urlsplit(self.path).query)
        host, _, path = parts.path.lstrip("/").partition("/")
        self.world.asked.append((f"{host}/{path}", self.headers.get("Range")))
        if host == "drive.google.com" and path == "uc":
            self.drive_page(query["id"][0])
        elif host == "drive.usercontent.google.com":
            self.file(query["id"][0], attachment=True)
        elif path == "embeddedfolderview":
            self.folder(query["id"][0])
        elif path.startswith("drive/folders/"):
            self.folder(path.rpartition("/")[2])
        else:
            self.file(f"{host}/{path}")

    def drive_page(self, key):
        moods = self.world.moods.get(key, ["ok"])
        page = {"quota": QUOTA, "not shared": NOT_SHARED}.get(moods[0],
                                                              CONFIRM.replace("{id}", key))
        self.page(page)

    def folder(self, key):
        if key not in self.world.folders:
            return self.page("<html>gone</html>", 404)
        names = self.world.folders[key]
        links = "".join(f'<a href="https://drive.google.com/file/d/{id}/view">{name}</a>'
                        for name, id in names.items())
        rows = json.dumps([[[id, None, name, "application/octet-stream"]
                            for name, id in names.items()]])
        # what gdown 5 reads; gdown 6 reads the links
        script = f"<script>window['_DRIVE_ivd'] = '{rows}';</script>"
        return self.page(f"<html><title>weights - Google Drive</title>{script}{links}</html>")

    def file(self, key, attachment=False):
        mood = self.world.mood(key)
        content = self.world.files.get(key)
        if content is None or mood in ("404", "500"):
            return self.page("<html>no</html>", 500 if mood == "500" else 404)
        if mood == "html":
            content = b"<!doctype html><html><body>Please sign in</body></html>"
        if mood in ("endless", "packed"):
            return self.endless(packed=mood == "packed")
        begin = 0
        if (asked := self.headers.get("Range")) and mood != "no ranges":
            begin = int(asked.removeprefix("bytes=").rstrip("-"))
        if begin and begin >= len(content):
            return self.page("", 416, {"Content-Range": f"bytes */{len(content)}"})
        headers = {
            "Content-Type": "application/octet-stream", "Content-Length": str(len(content) - begin)
        }
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        if attachment:
            headers["Content-Disposition"] = f'attachment; filename="{key}.pth"'
        rest = content[begin:]
        self.start(206 if begin else 200, headers)
        self.wfile.write(rest[:len(rest) // 2] if mood == "cut" else rest)
        if mood == "cut":
            self.close_connection = True

    def endless(self, packed):
        headers = {"Content-Type": "application/octet-stream",
                   "Content-Disposition": 'attachment; filename="a.pth"'}
        self.start(200, headers | ({"Content-Encoding": "gzip"} if packed else {}))
        packer = zlib.compressobj(wbits=31)
        with suppress(OSError):  # until the other side hangs up
            while True:
                zeros = bytes(1 << 20)
                self.wfile.write(packer.compress(zeros) if packed else zeros)

    def page(self, text, status=200, headers=None):
        body = text.encode()
        self.start(
            status, {
                "Content-Type": "text/html; charset=utf-8", "Content-Length": str(len(body)),
                **(headers or {})
            })
        self.wfile.write(body)

    def start(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *args):
        pass

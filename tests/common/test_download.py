"""Downloads from a small server of our own: continued, verified, never half there."""

import gzip
import hashlib
import http.server
import threading

import pytest

from helpers.common import download
from helpers.common.errors import UserError

CONTENT = bytes(range(256)) * 4096  # 1 MiB
MD5 = hashlib.md5(CONTENT).hexdigest()


class Server(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT with ranges; the first `failures` answers end after a third of what is
    left."""

    failures = 0
    ranges: list = []

    def do_GET(self):
        asked = self.headers.get("Range")
        type(self).ranges.append(asked)
        body = CONTENT[int(asked[6:-1]) if asked else 0:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if type(self).failures:
            type(self).failures -= 1
            body = body[:len(body) // 3]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def address(monkeypatch):
    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(Server, "failures", 0)
    monkeypatch.setattr(Server, "ranges", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.tgz"
    server.shutdown()
    server.server_close()


def test_a_download_is_whole_under_its_final_name(tmp_path, address):
    download.download(address, tmp_path / "deep" / "a.tgz", MD5, "toy")
    assert (tmp_path / "deep" / "a.tgz").read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.tgz"]


def test_a_connection_that_breaks_goes_on_where_it_stopped(tmp_path, address):
    Server.failures = 2
    download.download(address, tmp_path / "a.tgz", MD5, "toy")
    assert (tmp_path / "a.tgz").read_bytes() == CONTENT
    third = len(CONTENT) // 3
    assert Server.ranges == [
        None, f"bytes={third}-", f"bytes={third + (len(CONTENT) - third) // 3}-"
    ]


def test_a_later_run_continues_what_an_earlier_one_left(tmp_path, address):
    (tmp_path / "a.tgz.part").write_bytes(CONTENT[:1000])
    download.download(address, tmp_path / "a.tgz", MD5, "toy")
    assert Server.ranges == ["bytes=1000-"] and (tmp_path / "a.tgz").read_bytes() == CONTENT


def test_a_whole_file_is_not_fetched_again(tmp_path, address):
    (tmp_path / "a.tgz").write_bytes(CONTENT)
    download.download(address, tmp_path / "a.tgz", MD5, "toy")
    assert Server.ranges == []


def test_a_wrong_checksum_is_one_line_and_leaves_nothing(tmp_path, address):
    with pytest.raises(UserError, match="toy: a.tgz arrived damaged .*run again") as caught:
        download.download(address, tmp_path / "a.tgz", "0" * 32, "toy")
    assert list(tmp_path.iterdir()) == [] and "\n" not in str(caught.value)


def test_a_damaged_file_is_replaced_by_a_whole_one(tmp_path, address):
    (tmp_path / "a.tgz").write_bytes(b"half an archive")
    download.download(address, tmp_path / "a.tgz", MD5, "toy")
    assert (tmp_path / "a.tgz").read_bytes() == CONTENT


def test_without_a_network_a_damaged_file_is_left_alone_and_named(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    (tmp_path / "a.tgz").write_bytes(b"half an archive")
    with pytest.raises(UserError, match="a.tgz is there, but damaged"):
        download.download("http://127.0.0.1:9/a.tgz", tmp_path / "a.tgz", MD5, "toy")
    assert (tmp_path / "a.tgz").read_bytes() == b"half an archive"


def test_a_server_that_refuses_is_one_line(tmp_path, monkeypatch):
    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(UserError,
                       match="toy: the download failed, .*refused.*check the connection"):
        download.download("http://127.0.0.1:9/a.tgz", tmp_path / "a.tgz", MD5, "toy")


ANSWERS = {  # what a server says, and what is said of it
    "more than was announced to us": ({"Content-Length": "5000000"}, "more than the 2,000,000"),
    "an endless answer": ({}, "more than the 2,000,000 bytes"),
    "a packed answer": ({"Content-Encoding": "gzip"}, "packs the file"),
    "a length that is no number": ({"Content-Length": "many"}, "announces 'many' bytes"),
    "a length below zero": ({"Content-Length": "-5"}, "announces '-5' bytes"),
    "a length in other digits": ({"Content-Length": "1e9"}, "announces"),
}


class Hostile(http.server.BaseHTTPRequestHandler):
    said: dict = {}

    def do_GET(self):
        self.send_response(200)
        for name, value in type(self).said.items():
            self.send_header(name, value)
        self.end_headers()
        for _ in range(400):  # far beyond what is asked for
            self.wfile.write(gzip.compress(bytes(100_000)) if "Content-Encoding" in type(self).said
                             else bytes(100_000))

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_that_cannot_be_the_file_is_one_line_and_leaves_nothing(what, tmp_path,
                                                                          monkeypatch):
    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    headers, said = ANSWERS[what]
    monkeypatch.setattr(Hostile, "said", headers)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    server.handle_error = lambda *_: None  # we hang up
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/a"
    with pytest.raises(download.Failed, match=said) as caught:
        download.resume(address, tmp_path / "a.part", "toy", most=2_000_000)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())
    monkeypatch.setattr(download, "MOST_BYTES", 2_000_000)
    with pytest.raises(UserError, match=f"toy: the download failed, .*{said}"):
        download.download(address, tmp_path / "a.tgz", MD5, "toy")
    assert not list(tmp_path.iterdir())
    server.shutdown()
    server.server_close()

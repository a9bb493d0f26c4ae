"""Reasons of pip, other people's Drives, and files that are called by their name."""

import subprocess
from pathlib import Path

import pytest

from helpers.common import environment
from helpers.common.errors import UserError
from helpers.common.kinds import kind_of


@pytest.mark.parametrize(("said", "cure"), [
    ("error: externally-managed-environment\n\n× This environment is", "make a virtual env"),
    ("/x/python: No module named pip\n", "uv pip install"),
    ("ERROR: Could not install packages: [Errno 28] No space left on device\n", "disk space"),
    ("ERROR: No matching distribution found for x\n", "check the network"),
    ("ERROR: [Errno 13] Permission denied: '/usr/lib'\n", "one of your own")])
def test_what_pip_says_is_passed_on_with_what_helps(monkeypatch, said, cure):
    monkeypatch.setattr(subprocess, "run",
                        lambda *_, **__: subprocess.CompletedProcess([], 1, "", said))
    with pytest.raises(UserError, match=cure) as caught:
        environment._pip_install(["numpy"])
    assert said.splitlines()[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["/content/gdrive/MyDrive/few", "/gdrive/My Drive/few",
                                   "/mnt/MyDrive/few", "/content/drive/MyDrive"])
def test_a_drive_that_is_not_mounted_is_no_ordinary_folder(place):
    with pytest.raises(UserError, match="on a Google Drive that is not mounted"):
        environment.need_drive(Path(place))


def test_a_drive_that_is_there_and_folders_elsewhere_are_taken(tmp_path):
    (tmp_path / "My Drive").mkdir()
    environment.need_drive(tmp_path / "My Drive" / "few")
    environment.need_drive(tmp_path / "runs")


@pytest.mark.parametrize(("head", "what"), [
    (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
    (b"\n <html><body>", "a web page"), (b'{"a": 1}', "a text in JSON"), (b"hello\n", "a text"),
    (b"caf\xc3\xa9 " * 200, "a text"), (b"\x93NUMPY\x01", "NumPy"), (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (bytes(range(200)), ""), (b"", "")])
def test_files_are_called_by_their_name(head, what):
    assert what in kind_of(head[:512])
    assert bool(kind_of(head[:512])) == bool(what)

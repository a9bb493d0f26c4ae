"""One process at a time in a folder."""

import multiprocessing
import os
import time

import pytest

from helpers.common.files import one_at_a_time


def visit(folder, record, killed=False):
    with one_at_a_time(folder):
        if killed:
            os._exit(1)
        for moment in ("in", "out"):
            with open(record, "a") as file:
                file.write(f"{moment} ")
            time.sleep(0.05)


def test_processes_enter_one_after_another_also_after_one_died_inside(tmp_path):
    pytest.importorskip("fcntl")
    fork, record = multiprocessing.get_context("fork"), tmp_path / "record"
    visitors = [
        fork.Process(target=visit, args=(tmp_path / "data", record, number == 0))
        for number in range(4)
    ]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join(30)
    assert record.read_text() == "in out " * 3


def test_a_folder_that_cannot_be_locked_is_used_without(tmp_path):
    (tmp_path / "file").write_text("")
    with one_at_a_time(tmp_path / "file" / "below"):
        pass

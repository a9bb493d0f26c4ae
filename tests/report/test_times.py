"""Times of the notebooks: kept by machine, read again, found for the most similar machine."""

import pytest

from helpers.common.errors import UserError
from helpers.report import times

ROW = times.Time("01_a", 73.24, "quick", "digits", "cpu", "Intel(R) Xeon(R) Processor, amx_bf16", 2,
                 "2.11.0")


def write(root, text):
    path = root / times.PLACE
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("text", [
    "a,b\n1,2\n", ",".join(times.Time._fields) + "\n01,soon,quick,digits,cpu,x,2,2\n",
    ",".join(times.Time._fields) + "\n01,1\n"
])
def test_another_table_is_refused(tmp_path, text):
    write(tmp_path, text)
    with pytest.raises(UserError, match="move it away"):
        times.read_times(tmp_path)


@pytest.mark.parametrize("seconds, words", [(0.4, "10 seconds"), (54, "50 seconds"),
                                            (61, "60 seconds"), (73.9, "70 seconds"),
                                            (114, "110 seconds"), (116, "2 minutes"),
                                            (140, "2.5 minutes"), (3600, "60 minutes")])
def test_times_are_coarse(seconds, words):
    assert times.in_words(seconds) == words


@pytest.mark.parametrize("change, words", [
    ({}, "2 CPU cores (Intel(R) Xeon(R) Processor, amx_bf16)"),
    (dict(device="cuda", chip="NVIDIA H100 80GB HBM3"), "NVIDIA H100 80GB HBM3")])
def test_a_machine_has_a_name(change, words):
    assert ROW._replace(**change).machine_in_words == words


def test_the_machine_with_the_nearest_number_of_cores_is_chosen():
    rows = [ROW._replace(cores=16), ROW, ROW._replace(notebook="02_b")]
    assert times.nearest(rows, "cpu", "quick", "digits", 12) == rows[:1]
    assert times.nearest(rows, "cpu", "quick", "digits", 1) == rows[1:]
    assert times.nearest(rows, "cuda", "quick", "digits", 2) == []
    assert times.nearest(rows, "cpu", "full", "digits", 2) == []

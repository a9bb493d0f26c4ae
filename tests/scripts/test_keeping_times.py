"""Times of the notebooks are kept by machine and read again."""

from helpers.report import times
from scripts.times import keep_times

ROW = times.Time("01_a", 73.24, "quick", "digits", "cpu", "Intel(R) Xeon(R) Processor, amx_bf16", 2,
                 "2.11.0")


def test_what_is_kept_is_read_again_with_tenths_of_seconds(tmp_path):
    assert times.read_times(tmp_path) == []
    keep_times([ROW], tmp_path)
    assert times.read_times(tmp_path) == [ROW._replace(seconds=73.2)]


def test_a_run_replaces_all_rows_of_its_machine_and_no_others(tmp_path):
    others = [
        ROW._replace(**change) for change in (dict(device="cuda"), dict(chip="AMD"), dict(cores=4),
                                              dict(preset="full"), dict(dataset="stl10"))
    ]
    keep_times([ROW, ROW._replace(notebook="02_gone"), *others], tmp_path)
    again = ROW._replace(seconds=50.0, torch="2.12.0")
    keep_times([again], tmp_path)
    kept = times.read_times(tmp_path)
    assert len(kept) == 6 and again in kept and "02_gone" not in {row.notebook for row in kept}


def test_the_order_of_the_file_does_not_depend_on_who_came_first(tmp_path):
    rows = [ROW, ROW._replace(cores=16), ROW._replace(notebook="00_z")]
    keep_times(rows, tmp_path / "a")
    keep_times(rows[1:2], tmp_path / "b")
    keep_times([rows[2], rows[0]], tmp_path / "b")
    first, second = (tmp_path / name / times.PLACE for name in "ab")
    assert first.read_text() == second.read_text()

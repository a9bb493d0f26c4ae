import math
import multiprocessing
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

from helpers.common.errors import UserError
from helpers.common.files import atomic_path, write_atomically
from helpers.report import results

QUICK = SimpleNamespace(dataset="digits", preset="quick")


def row(**changes):
    return {"method": "byol", "metric": "accuracy", "mean": 0.5} | changes


def test_recorded_rows_read_back_with_settings_filled_in(tmp_path):
    rows = [row(mean=0.123456, std=0.02, n=5, labels_per_class="all", sigma=0.4)]
    results.record(tmp_path, "03", rows, QUICK)
    frame = results.summary(tmp_path)
    assert list(frame.columns) == list(results.COLUMNS)
    first = frame.iloc[0]
    assert (first.notebook, first.dataset, first.preset) == ("03", "digits", "quick")
    assert first.labels_per_class == "all"
    assert (first["mean"], first["std"], first.sigma, first.n) == (0.1235, 0.02, 0.4, 5)
    assert math.isnan(first.seconds)


def test_the_deviation_of_a_single_number_is_left_empty(tmp_path):
    alone = np.array([0.5])
    with np.errstate(invalid="ignore"), warnings.catch_warnings(action="ignore"):
        rows = [row(std=alone.std(ddof=1), n=1), row(metric="loss", std=float("nan"))]
    results.record(tmp_path, "07", rows, QUICK)
    frame = results.summary(tmp_path)
    assert frame["std"].isna().all()
    assert "nan" not in (tmp_path / "summary.csv").read_text()
    assert "±" not in results.table(frame)


def test_recording_again_replaces_only_the_same_notebook_dataset_and_preset(tmp_path):
    results.record(tmp_path, "01", [row(method="old"), row(method="older")], QUICK)
    results.record(tmp_path, "02", [row(method="other notebook")], QUICK)
    stl10 = SimpleNamespace(dataset="stl10", preset="quick")
    results.record(tmp_path, "01", [row(method="other data")], stl10)
    results.record(tmp_path, "01", [row(method="new")], QUICK)
    assert list(results.summary(tmp_path)["method"]) == ["new", "other data", "other notebook"]


def test_no_row_of_another_run_or_seed_is_lost_and_readers_see_the_latest(tmp_path):
    runs = [dict(seed=0, changed=""), dict(seed=1, changed=""), dict(seed=1, changed="draws=5")]
    for run in [*runs, runs[0]]:
        settings = SimpleNamespace(dataset="digits", preset="quick", **run)
        results.record(tmp_path, "01", [row(method="a"), row(method="b")], settings)
    every = results.summary(tmp_path, every_run=True)
    assert list(zip(every.seed, every.changed, every.method, strict=True)) == [
        ("1", "", "a"), ("1", "", "b"), ("1", "draws=5", "a"), ("1", "draws=5", "b"),
        ("0", "", "a"), ("0", "", "b")]
    latest = results.summary(tmp_path)
    assert list(zip(latest.seed, latest.changed, latest.method, strict=True)) == [
        ("0", "", "a"), ("0", "", "b")]


def test_a_file_from_before_runs_were_told_apart_is_read_and_added_to(tmp_path):
    old = [",".join(results.FIRST_COLUMNS), "01,digits,quick,byol,,,,test accuracy,0.5,,1,,",
           "02,digits,quick,byol,,,,test accuracy,0.6,,1,,"]
    (tmp_path / "summary.csv").write_text("\n".join(old) + "\n")
    assert list(results.summary(tmp_path)["mean"]) == [0.5, 0.6]
    results.record(tmp_path, "01", [row(mean=0.7)], SimpleNamespace(**vars(QUICK), seed=3))
    assert list(results.summary(tmp_path, every_run=True)["mean"]) == [0.5, 0.7, 0.6]
    assert list(results.summary(tmp_path)["mean"]) == [0.7, 0.6]


def test_rows_of_a_notebook_keep_their_order(tmp_path):
    results.record(tmp_path, "01", [row(method=name) for name in "zay"], QUICK)
    assert list(results.summary(tmp_path)["method"]) == ["z", "a", "y"]


@pytest.mark.parametrize("bad", [{"mean": 82.6}, {"mean": -0.1}, {"std": 1.2}, {"mean": math.nan}])
def test_an_accuracy_that_is_no_fraction_is_refused_and_nothing_written(tmp_path, bad):
    with pytest.raises(ValueError, match=r"fraction in \[0, 1\]"):
        results.record(tmp_path, "01", [row(**bad)], QUICK)
    assert not (tmp_path / "summary.csv").exists()


def test_a_loss_may_be_above_one(tmp_path):
    results.record(tmp_path, "05", [row(metric="loss", mean=2.3)], QUICK)
    assert results.summary(tmp_path)["mean"][0] == 2.3


@pytest.mark.parametrize("bad, said", [({"methd": "x"}, "unknown columns"),
                                       ({"mean": None}, "lacks")])
def test_a_misspelled_or_missing_column_is_named(tmp_path, bad, said):
    with pytest.raises(ValueError, match=said):
        results.record(tmp_path, "01", [row(**bad)], QUICK)


def test_tiny_numbers_do_not_become_zero_and_scalars_of_numpy_are_numbers(tmp_path):
    results.record(tmp_path, "05", [row(metric="loss", mean=np.float32(1e-6), n=np.int64(3))],
                   QUICK)
    frame = results.summary(tmp_path)
    assert frame["mean"][0] == pytest.approx(1e-6)
    assert frame["n"][0] == 3


def test_missing_results_say_how_to_make_them(tmp_path):
    with pytest.raises(UserError, match="python -m helpers run"):
        results.summary(tmp_path)


def test_a_foreign_csv_is_not_overwritten(tmp_path):
    (tmp_path / "summary.csv").write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"summary\.csv"):
        results.record(tmp_path, "01", [row()], QUICK)
    assert (tmp_path / "summary.csv").read_text() == "a,b\n1,2\n"


def test_the_table_shows_percent_with_one_decimal_and_leaves_empty_columns_out(tmp_path):
    results.record(tmp_path, "01",
                   [row(mean=0.8264, std=0.0391, n=5),
                    row(metric="loss", mean=0.25)], QUICK)
    text = results.table(results.summary(tmp_path))
    assert "82.6 ± 3.9 %" in text
    assert " 0.25" in text
    assert "sigma" not in text
    shown = {"notebook", "dataset", "preset", "method", "metric", "result", "runs"}
    assert set(text.splitlines()[0].split()) == shown


def test_the_table_of_an_empty_frame_says_so(tmp_path):
    results.record(tmp_path, "01", [row()], QUICK)
    assert results.table(results.summary(tmp_path).iloc[:0]) == "(no results)"


def test_a_failed_write_leaves_the_old_file_and_no_leftovers(tmp_path):
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_path(path) as draft:
        draft.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_path_keeps_the_suffix_and_makes_folders(tmp_path):
    path = tmp_path / "new" / "array.npy"
    with atomic_path(path) as draft:
        assert draft.suffix == ".npy"
        assert draft.parent == path.parent
        np.save(draft, np.arange(3))
        assert not path.exists()
    assert np.load(path).tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]


def test_writing_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "x"):
        pass


def test_rows_that_two_processes_record_at_once_are_all_kept(tmp_path):
    code = """import sys
from helpers.report import results
for number in range(20):
    rows = [dict(method="m", metric="accuracy", mean=0.5)]
    results.record(sys.argv[1], f"{sys.argv[2]}{number}", rows)"""
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert len(results.summary(tmp_path)) == 40


def many(folder, who):
    for number in range(15):
        results.record(folder, f"{who}{number:02d}", [row()], QUICK)


def test_no_row_is_lost_when_many_processes_write(tmp_path):
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=many, args=(tmp_path, who)) for who in "abcd"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert len(results.summary(tmp_path)) == 60


DAMAGES = {
    "a row that was cut off": (lambda text: text[:-12], "row 4"),
    "a row without its end": (lambda text: text.replace(",,\n03", ",\n03", 1), "row 3"),
    "a word in place of a number": (lambda text: text.replace("0.5000", "half", 1), "row 2 .*half"),
    "an accuracy in percent": (lambda text: text.replace("0.5000", "50.0", 1), "row 2 .*50"),
    "no method": (lambda text: text.replace("byol", "", 1), "row 2 .no method"),
    "a merge": (lambda text: text.replace("\n02", "\n<<<<<<< HEAD\n02", 1), "row 3"),
    "zeros of a crashed disk": (lambda text: text[:-30] + "\0" * 30, "columns|row"),
    "another table": (lambda text: "a,b\n1,2\n", "columns"),
    "one more column": (lambda text: text.replace("\n", ",x\n"), "columns"),
    "nothing": (lambda text: "", "columns"),
    "no text": (lambda text: text + "\udcff\udcfe", "columns"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_with_its_row_and_left_as_it_is(damage, tmp_path):
    for number in ("01", "02", "03"):
        results.record(tmp_path, number, [row(metric="test accuracy", n=5)], QUICK)
    change, said = DAMAGES[damage]
    path = tmp_path / "summary.csv"
    broken = change(path.read_text()).encode("utf-8", "surrogateescape")
    path.write_bytes(broken)
    for use in (results.summary, lambda folder: results.record(folder, "04", [row()], QUICK)):
        with pytest.raises(UserError, match=f"summary.csv .*({said})") as caught:
            use(tmp_path)
        assert "\n" not in str(caught.value)
    assert path.read_bytes() == broken


def test_a_full_disk_is_one_line_and_what_was_there_stays(tmp_path, monkeypatch):
    results.record(tmp_path, "01", [row()], QUICK)
    before = (tmp_path / "summary.csv").read_text()

    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("helpers.common.files._flush_to_disk", full)
    with pytest.raises(UserError, match="cannot write .*summary.csv .*free some space"):
        results.record(tmp_path, "02", [row()], QUICK)
    assert (tmp_path / "summary.csv").read_text() == before


def test_equal_numbers_that_were_computed_have_no_deviation():
    row = dict(metric="gain over x, points", mean=14.2857, std=1.872e-15)
    assert results.in_words(row) == "14.29 ± 0"
    assert results.in_words(row | dict(std=float("nan"))) == "14.29"

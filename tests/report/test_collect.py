"""Measured and published numbers are found, and say where they are from."""

import pytest

from helpers.common.errors import UserError
from helpers.report import collect, results
from scripts.measured import read_results


class Quick:
    dataset, preset = "digits", "quick"


def test_what_was_run_here_replaces_the_kept_rows_of_that_notebook_only(tmp_path):
    kept, own = tmp_path / "kept", tmp_path / "own"
    for folder, mean in ((kept, 0.5), (own, 0.9)):
        results.record(folder, "03",
                       [dict(method="BYOL", protocol="p", metric="test accuracy", mean=mean)],
                       Quick)
    results.record(kept, "04",
                   [dict(method="BYOL", protocol="p", metric="test accuracy", mean=0.7)], Quick)
    read_results(kept).to_csv(tmp_path / "kept.csv", index=False)
    frame, said = collect.gather(own, tmp_path / "kept.csv")
    assert sorted(frame["mean"]) == [0.7, 0.9]
    assert said == "1 numbers were measured here (notebooks 03), 1 are kept in benchmarks/results."


def test_without_results_of_ones_own_the_kept_ones_are_shown_and_it_says_so(tmp_path):
    frame, said = collect.gather(tmp_path / "nothing")
    assert len(frame) and "holds no results yet" in said


def test_without_any_results_a_person_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match="get the repository again"):
        collect.gather(tmp_path, tmp_path / "kept.csv")


def test_benchmarks_of_speed_are_found_by_their_contenders():
    found = collect.speeds()
    assert {"throughput-cpu", "views-cpu"} <= set(found)
    assert all(row["ours_is"] > 0 for content in found.values() for row in content["rows"])


def test_published_numbers_are_fractions_with_a_source_and_all_five_predecessors_are_there():
    frame = collect.published()
    assert frame.value.dropna().between(0, 1).all()
    assert frame[frame.kind == "predecessor"].system.nunique() == 5
    assert not frame.duplicated(["system", "method", "dataset", "protocol", "sigma", "epochs"
                                 ]).any()


def test_a_published_number_without_a_source_is_refused(tmp_path):
    frame = collect.published()
    frame.loc[3, "source"] = None
    frame.to_csv(tmp_path / "published.csv", index=False)
    with pytest.raises(UserError, match="source"):
        collect.published(tmp_path / "published.csv")


class Run:
    dataset, preset, seed, changed = "digits", "quick", 0, ""


def board(folder, settings=Run):
    """What notebook 04 shows where only it has run, and what is said of it."""
    results.record(folder, "04_fine_tuning",
                   [dict(method="BYOL", protocol="p", metric="test accuracy", mean=0.7)], settings)
    return collect.with_kept(folder, ["01", "03", "04"], settings)


def test_a_notebook_that_has_not_run_gives_its_kept_numbers_marked_as_such(tmp_path):
    frame, said = board(tmp_path)
    assert said.startswith("Notebooks 01, 03 did not run here: (kept) marks the repository")
    here = frame.notebook == "04_fine_tuning"
    assert list(frame.method[here]) == ["BYOL"] and len(frame[~here]) > 20
    assert frame.method[~here].str.endswith(" (kept)").all()
    assert set(frame.dataset) == {"digits"} and set(frame.preset) == {"quick"}


@pytest.mark.parametrize("other", [dict(dataset="stl10"), dict(preset="smoke"), dict(seed=1),
                                   dict(changed="draws=5")])
def test_kept_numbers_never_stand_beside_those_of_other_settings(tmp_path, other):
    board(tmp_path)
    frame, said = board(tmp_path, type("Other", (Run,), other))
    assert list(frame.method) == ["BYOL"] and "those rows are missing" in said


def test_numbers_measured_here_need_no_kept_ones(tmp_path):
    for number in ("01", "03"):
        results.record(tmp_path, number,
                       [dict(method="x", protocol="p", metric="test accuracy", mean=0.5)], Run)
    frame, said = board(tmp_path)
    assert len(frame) == 3 and said == "Notebooks 01, 03, 04 ran here."

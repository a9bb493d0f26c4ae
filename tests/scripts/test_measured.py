"""Results stay what they are, wherever they lie; both tables hold what the files say."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.common.errors import UserError
from helpers.report import collect, results
from scripts.measured import learning_curves, read_results


class Quick:
    dataset, preset = "digits", "quick"


def write_run(folder, seed, knn, minutes=12, **settings):
    """A training on photographs as the benchmark writes it."""
    curve = [dict(knn=0.3, cpu_seconds=0.0), dict(knn=knn, cpu_seconds=60.0 * minutes + seed)]
    record = dict(
        settings=dict(method="byol", encoder="slim", size=48, minutes=minutes, seed=seed)
        | settings, cost=dict(cpu_seconds=60 * minutes + seed, epochs=30), curve=curve,
        results=[dict(protocol="kNN, k = 20", labels_per_class="all", n=1, mean=knn, std=None)])
    (folder / f"imagenette-byol-slim-48px-seed{seed}.json").write_text(json.dumps(record))
    pd.DataFrame(record["results"]).to_csv(folder / f"imagenette-byol-slim-48px-seed{seed}.csv",
                                           index=False)


def test_the_kept_digits_are_found_with_their_numbers_unchanged():
    kept = pd.read_csv(collect.KEPT / "digits-quick.csv")
    frame = read_results(collect.KEPT)
    found = frame[frame.file == "digits-quick"]
    assert found["mean"].tolist() == kept["mean"].tolist() and found.method.tolist(
    ) == kept.method.tolist()
    assert set(found.over[found.n > 1]) == {"label subsets", "trainings"}
    assert set(found.over[found.n == 1]) == {"one run"}


def test_with_all_labels_there_is_one_subset_so_what_was_repeated_is_the_training(tmp_path):
    rows = [
        dict(method="BYOL", protocol="p", labels_per_class=labels, metric="test accuracy", mean=0.9,
             std=0.1, n=3, sigma=sigma)
        for labels, sigma in (("all", None), (10, None), ("all", 0.5))
    ]
    results.record(tmp_path, "04", rows, Quick)
    assert read_results(tmp_path).over.tolist() == [
        "trainings", "label subsets", "draws of the noise"
    ]


def test_trainings_that_differ_in_their_seed_become_one_row(tmp_path):
    for seed, knn in enumerate((0.60, 0.62, 0.67)):
        write_run(tmp_path, seed, knn)
    (row,) = read_results(tmp_path).to_dict("records")
    assert row["mean"] == pytest.approx(0.63) and row["std"] == pytest.approx(
        np.std([0.60, 0.62, 0.67], ddof=1))
    assert (row["n"], row["over"], row["dataset"], row["method"]) == (3, "trainings", "imagenette",
                                                                      "BYOL")
    assert (row["pixels"], row["encoder"], row["epochs"]) == (48, "slim", 30)
    assert row["minutes"] == pytest.approx(12 + 1 / 60)


def test_another_method_with_the_same_file_name_but_for_the_seed_stays_apart(tmp_path):
    write_run(tmp_path, 0, 0.6)
    write_run(tmp_path, 1, 0.5, method="lightly-byol")
    assert set(read_results(tmp_path).method) == {"BYOL", "lightly's BYOL"}


def test_evaluations_of_several_seeds_are_averaged(tmp_path):
    write_run(tmp_path, 0, 0.60)
    write_run(tmp_path, 1, 0.64)
    curve = learning_curves(tmp_path)
    assert set(curve.method) == {"BYOL, slim"} and curve.budget.nunique() == 1
    assert curve.knn.tolist() == pytest.approx([0.3, 0.62])
    assert curve.minutes.tolist() == pytest.approx([0, 12 + 1 / 120])
    assert curve["std"].tolist() == pytest.approx([0, np.std([0.60, 0.64], ddof=1)])


def test_budgets_of_one_method_are_apart_and_a_gpu_is_named(tmp_path):
    write_run(tmp_path, 0, 0.60)
    write_run(tmp_path, 1, 0.64, minutes=40)
    curves = learning_curves(tmp_path)
    assert set(curves.method) == {"BYOL, slim"} and curves.budget.nunique() == 2
    path = tmp_path / "imagenette-byol-slim-48px-seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(machine=dict(device="cuda"))))
    assert set(learning_curves(tmp_path).method) == {"BYOL, slim", "BYOL, slim on a GPU"}
    assert set(read_results(tmp_path).encoder) == {"slim", "slim on a GPU"}


def test_noise_is_averaged_over_its_draws_before_trainings_are_compared(tmp_path):
    rows = [
        dict(method="BYOL", training_seed=t, noise_seed=s, sigma=0.5,
             accuracy=0.5 + 0.1 * t + 0.02 * s) for t in (0, 1) for s in (0, 1)
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "digits-noise.csv", index=False)
    sigmas, scores = collect.noise_trainings(tmp_path)["BYOL"]
    assert sigmas.tolist() == [0.5] and scores == pytest.approx(np.array([[0.51], [0.61]]))
    (row,) = read_results(tmp_path).to_dict("records")
    assert (row["n"], row["over"]) == (2, "trainings") and row["std"] == pytest.approx(
        np.std([0.51, 0.61], ddof=1))


def test_files_that_hold_no_results_are_passed_over(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "images.csv").write_text("image,score\na,1\n")
    (tmp_path / "list.json").write_text("[1]")
    assert read_results(tmp_path).empty and not collect.speeds(tmp_path)


def test_a_damaged_file_is_named_and_not_passed_over(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for read in (read_results, collect.speeds):
        with pytest.raises(UserError, match="broken.json cannot be read .*restore or remove it"):
            read(tmp_path)


def test_the_table_that_notebook_10_reads_holds_every_number_of_the_files():
    frame, _ = collect.gather("nothing")
    found = read_results()
    pd.testing.assert_frame_equal(frame, found, check_dtype=False)
    curves = pd.concat(each for budgets in collect.learning_curves().values() for each in budgets)
    assert sorted(curves.knn) == pytest.approx(sorted(learning_curves().knn))

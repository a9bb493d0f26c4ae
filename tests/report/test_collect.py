"""Numbers are found wherever they lie, stay what they are, and say what they are of."""

import json

import numpy as np
import pandas as pd
import pytest

from helpers.common.errors import UserError
from helpers.report import collect, results
from helpers.report.files import read_results


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
    assert set(found.over[found.n > 1]) == {"label subsets", "draws of the noise", "trainings"}
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
    ((label, (curve,)),) = collect.learning_curves(tmp_path).items()
    assert label == "BYOL, slim"
    assert curve.knn.tolist() == pytest.approx([0.3, 0.62])
    assert curve.minutes.tolist() == pytest.approx([0, 12 + 1 / 120])
    assert curve["std"].tolist() == pytest.approx([0, np.std([0.60, 0.64], ddof=1)])


def test_budgets_of_one_method_are_apart_and_a_gpu_is_named(tmp_path):
    write_run(tmp_path, 0, 0.60)
    write_run(tmp_path, 1, 0.64, minutes=40)
    assert [len(budgets) for budgets in collect.learning_curves(tmp_path).values()] == [2]
    path = tmp_path / "imagenette-byol-slim-48px-seed1.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | dict(machine=dict(device="cuda"))))
    assert list(collect.learning_curves(tmp_path)) == ["BYOL, slim", "BYOL, slim on a GPU"]
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


def test_what_was_run_here_replaces_the_kept_rows_of_that_notebook_only(tmp_path):
    kept, own = tmp_path / "kept", tmp_path / "own"
    for folder, mean in ((kept, 0.5), (own, 0.9)):
        results.record(folder, "03",
                       [dict(method="BYOL", protocol="p", metric="test accuracy", mean=mean)],
                       Quick)
    results.record(kept, "04",
                   [dict(method="BYOL", protocol="p", metric="test accuracy", mean=0.7)], Quick)
    frame, said = collect.gather(own, kept)
    assert sorted(frame["mean"]) == [0.7, 0.9]
    assert said == "1 numbers were measured here (notebooks 03), 1 are kept in benchmarks/results."


def test_without_results_of_ones_own_the_kept_ones_are_shown_and_it_says_so(tmp_path):
    frame, said = collect.gather(tmp_path / "nothing")
    assert len(frame) and "holds no results yet" in said


def test_without_any_results_a_person_is_told_what_to_do(tmp_path):
    with pytest.raises(UserError, match="get the repository again"):
        collect.gather(tmp_path, tmp_path)


def test_files_that_hold_no_results_are_passed_over(tmp_path):
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "images.csv").write_text("image,score\na,1\n")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "list.json").write_text("[1]")
    assert read_results(tmp_path).empty and not collect.speeds(tmp_path)


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

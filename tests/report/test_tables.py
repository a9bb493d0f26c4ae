"""Tables and sentences say what the numbers are, and no more than they bear."""

import numpy as np
import pandas as pd
import pytest

from helpers.report import collect as gathering
from helpers.report import tables as reporting

SIGMAS = np.array([0.0, 1.6])


def trainings(own, other):
    """Accuracies at heavy noise of the two that are compared."""
    return {name: (SIGMAS, np.array([[1.0, value] for value in values]))
            for name, values in (("noise-BYOL", own), ("raw pixels", other))}


@pytest.mark.parametrize("own, other, said", [
    ([0.72, 0.71, 0.73], [0.70, 0.66, 0.75], ": no clear difference (p "),
    ([0.72, 0.71, 0.73], [0.60, 0.59, 0.62], ": noise-BYOL is ahead (p "),
    ([0.50, 0.51, 0.49], [0.60, 0.59, 0.62], ": raw pixels is ahead (p "),
])
def test_a_lead_that_chance_could_make_is_called_a_tie(own, other, said):
    assert said in reporting.duel(trainings(own, other))


def test_one_training_decides_nothing():
    assert reporting.duel(trainings([0.7], [0.6])) == "" and reporting.duel({}) == ""


def test_a_deviation_is_shown_only_where_something_was_repeated():
    assert reporting.percent(dict(mean=0.1234, std=0.056, n=3)) == "12.3 ± 5.6"
    assert reporting.percent(dict(mean=0.1234, std=np.nan, n=1)) == "12.3"


def test_a_pair_that_was_not_measured_leaves_a_gap():
    frame = pd.DataFrame([dict(method="a", protocol="p", sigma=0.0, mean=0.9, std=None, n=1),
                          dict(method="a", protocol="p", sigma=0.5, mean=0.8, std=None, n=1),
                          dict(method="b", protocol="p", sigma=0.5, mean=0.7, std=None, n=1)])
    assert reporting.grid(frame, "sigma", "sigma").splitlines()[-1] == "| b, p |  | 70.0 |"


def test_photographs_show_budget_trainings_and_baselines_without_one():
    base = dict(file="f", encoder="slim", pixels=48, protocol="kNN, k = 20", labels_per_class="all",
                sigma=np.nan, epochs=60.0, minutes=23.2, std=0.02, n=3, over="trainings")
    frame = pd.DataFrame([
        base | dict(method="BYOL", mean=0.63),
        base | dict(method="raw pixels", encoder="", mean=0.38, std=None, n=1, over="one run")
    ])
    text = reporting.photographs(frame)
    assert "| BYOL | slim, 48 px | 60.0 epochs, 23.2 min | 3 | 63.0 ± 2.0 |" in text
    assert "| raw pixels |  |  |  | 38.0 |" in text


def test_ways_to_use_labels_are_a_table_of_their_own():
    base = dict(file="f", encoder="", pixels=np.nan, sigma=np.nan, epochs=np.nan, minutes=np.nan,
                std=0.02, n=5, over="label draws", mean=0.5)
    frame = pd.DataFrame([
        base | dict(method=method, protocol=protocol, labels_per_class=count)
        for method, protocol in (("features", "linear probe"), ("from scratch", "training"))
        for count in ("1", "10")
    ])
    text = reporting.photographs(frame)
    assert text.count(
        "| --- |") == 2 and "| from scratch, training | 50.0 ± 2.0 | 50.0 ± 2.0 |" in text


def test_published_tables_name_source_dataset_protocol_and_n_and_hold_every_number():
    frame = gathering.published()
    text = reporting.literature(frame)
    for row in frame.itertuples():
        assert row.source in text and row.dataset in text and row.protocol in text
        assert pd.isna(row.value) or f"{100 * row.value:.1f} |" in text
    assert text.count("n: not stated") + text.count("n: 1") == frame.groupby(["system",
                                                                              "dataset"]).ngroups


def test_speed_says_how_many_times_as_fast_ours_is():
    content = dict(rows=[dict(contender="kornia", images_per_second=145.1, ours_is=2.17),
                         dict(contender="ours", images_per_second=324.3, ours_is=1.0),
                         dict(contender="compute limit", images_per_second=350.0, ours_is=0.93)])
    lines = reporting.speed(content).splitlines()
    assert lines[2] == "| kornia | 145 | 2.2 times as fast |"
    assert lines[0].startswith("|  | images/s |") and lines[4].endswith(
        "| 350 | 0.93 of this limit |")


def test_the_listing_has_a_line_for_every_number_and_percent_for_accuracies_only():
    frame = gathering.measured(gathering.KEPT)
    frame = frame[frame.file == "digits-quick"]
    text = reporting.listing(frame)
    assert text.count("\n| digits |") == len(frame) and f"{len(frame)} numbers" in text
    error = frame[frame.metric == "mean corruption error"].iloc[0]
    assert f"| mean corruption error | {error['mean']:.4g} | 1 | one run | 07_noise_robustness |" in text


def test_a_search_says_what_each_change_adds_to_the_recipe_it_changes():
    knn = {
        "random encoder": (0.3, 0.3), "plain": (0.4, 0.42), "+ more": (0.45, 0.45),
        "instead: less": (0.35, 0.39)
    }
    frame = pd.DataFrame([
        dict(change=change, seed=seed, knn=value, steps=None if change == "random encoder" else 10,
             cpu_seconds=None if change == "random encoder" else 9)
        for change, values in knn.items()
        for seed, value in enumerate(values)
    ])
    lines = [[cell.strip()
              for cell in line.split("|")[1:-1]]
             for line in reporting.trials(frame).splitlines()[2:]]
    assert [line[2] for line in lines] == ["", "", "+4.0 ± 1.4", "-8.0 ± 2.8"]
    assert lines[1][1] == "41.0 ± 1.4" and [line[4] for line in lines] == ["", "9 s", "9 s", "9 s"]


def test_encoders_stand_in_columns_and_protocols_in_lines():
    common = dict(over="one run", encoder="slim", pixels=48, n=1, std=None)
    frame = pd.DataFrame([
        dict(common, file="a", method="BYOL", protocol="kNN", labels_per_class="all", mean=0.5,
             epochs=3.0, minutes=40.0),
        dict(common, file="b", method="raw pixels", protocol="MLP", labels_per_class="all",
             mean=0.3, epochs=None, minutes=None)
    ])
    header, _, knn, mlp = reporting.encoders(frame).splitlines()
    assert "BYOL, slim, 48 px, 3.0 epochs, 40.0 min" in header and "raw pixels" in header
    assert knn == "| kNN | all | 50.0 |  |" and mlp == "| MLP | all |  | 30.0 |"


def test_side_by_side_is_a_line_for_each_budget_machine_and_contender():
    frame = pd.DataFrame([
        dict(contender="BYOL", budget=3.0, chip="A", pixels=48, seed=seed, epochs=9.0,
             **{"kNN, k = 20, all labels per class": value})
        for seed, value in enumerate((0.4, 0.44))
    ])
    assert reporting.side_by_side(
        frame).splitlines()[-1] == "| 3 min, A, 48 px | BYOL | 9.0 | 42.0 ± 2.8 | 2 |"

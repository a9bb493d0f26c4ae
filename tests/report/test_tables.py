"""Tables say what the numbers are, and no more than they bear."""

import numpy as np
import pandas as pd

from helpers.report import collect, tables
from scripts.measured import read_results


def test_a_deviation_is_shown_only_where_something_was_repeated():
    assert tables.percent(dict(mean=0.1234, std=0.056, n=3)) == "12.3 ± 5.6"
    assert tables.percent(dict(mean=0.1234, std=np.nan, n=1)) == "12.3"


def test_a_pair_that_was_not_measured_leaves_a_gap():
    frame = pd.DataFrame([
        dict(file="f", method=method, protocol="p", sigma=sigma, mean=mean, std=None, n=1, over="")
        for method, sigma, mean in (("a", 0.0, 0.9), ("a", 0.5, 0.8), ("b", 0.5, 0.7))])
    assert tables.by_sigma(frame).splitlines()[-1] == "| b, p |  | 70.0 |"


def photographs(**changes):
    """A row of a training on Imagenette."""
    return dict(file="f", dataset="imagenette", method="BYOL", encoder="slim", pixels=48,
                protocol="kNN", labels_per_class="all", sigma=np.nan, mean=0.63, std=0.02, n=3,
                over="trainings", epochs=60.0, minutes=23.2) | changes


def test_trainings_of_a_race_and_ways_to_use_labels_stand_apart():
    frame = pd.DataFrame([photographs(), photographs(file="byol-3min-seed0", minutes=3.0),
                          photographs(file="lightly-3min", method="lightly's BYOL", minutes=3.0),
                          photographs(file="raw", method="raw pixels", minutes=np.nan),
                          photographs(file="byol-13min"), photographs(file="dino", minutes=2.4),
                          photographs(file="imagenette-labels"), photographs(dataset="stl10")])
    trained, few = tables.photographs(frame)
    assert trained.file.tolist() == ["f", "raw", "byol-13min", "dino"]
    assert few.file.tolist() == ["imagenette-labels"]


def test_an_encoder_is_named_with_its_budget_and_trainings_and_a_baseline_without():
    frame = pd.DataFrame([photographs(), photographs(sigma=0.5, mean=0.1),
                          photographs(method="raw pixels", mean=0.38, std=None, n=1,
                                      over="one run")])
    header, _, line = tables.encoders(frame).splitlines()
    assert header == ("| protocol | labels per class | BYOL, slim, 48 px, 60.0 epochs, 23.2 min, "
                      "**3 trainings** | raw pixels |")
    assert line == "| kNN | all | 63.0 ± 2.0 | 38.0 |"


def test_under_noise_the_number_of_trainings_stands_in_the_name():
    frame = pd.DataFrame([photographs(sigma=0.5),
                          photographs(sigma=0.5, method="pixels", over="draws of the noise")])
    assert tables.by_sigma(frame).splitlines()[2:] == [
        "| BYOL, 3 trainings, kNN | 63.0 ± 2.0 |", "| pixels, kNN | 63.0 ± 2.0 |"]


def test_a_figure_of_few_labels_leaves_out_pca_and_takes_numbers_of_labels():
    frame = pd.DataFrame([dict(method=method, protocol=protocol, labels_per_class=count, n=5.0)
                          for method, protocol in (("BYOL", "linear probe"), ("PCA 256", "linear "
                                                   "probe"), ("from scratch", "100 steps"))
                          for count in ("10", "all")])
    rows = [(row["method"], row["labels_per_class"]) for row in tables.label_rows(frame)]
    assert rows == [("BYOL, linear probe", 10), ("BYOL, linear probe", "all"),
                    ("from scratch", 10), ("from scratch", "all")]
    assert str(tables.label_rows(frame)[0]["n"]) == "5"


def test_published_tables_name_source_dataset_protocol_and_n_and_hold_every_number():
    frame = collect.published()
    text = tables.literature(frame)
    for row in frame.itertuples():
        assert row.source in text and row.dataset in text and row.protocol in text
        assert pd.isna(row.value) or f"{100 * row.value:.1f} |" in text
    assert text.count("n: not stated") + text.count("n: 1") == frame.groupby(["system",
                                                                              "dataset"]).ngroups


def test_speed_says_how_many_times_as_fast_ours_is():
    content = dict(rows=[dict(contender="kornia", images_per_second=145.1, ours_is=2.17),
                         dict(contender="ours", images_per_second=324.3, ours_is=1.0),
                         dict(contender="compute limit", images_per_second=350.0, ours_is=0.93)])
    lines = tables.speed(content).splitlines()
    assert lines[2] == "| kornia | 145 | 2.2 times as fast |"
    assert lines[0].startswith("|  | images/s |") and lines[4].endswith(
        "| 350 | 0.93 of this limit |")


def test_the_listing_has_a_line_for_every_number_and_percent_for_accuracies_only():
    frame = read_results(collect.KEPT)
    frame = frame[frame.file == "digits-quick"]
    text = tables.listing(frame)
    assert text.count("\n| digits |") == len(frame) and f"{len(frame)} numbers" in text
    error = frame[frame.metric == "mean corruption error"].iloc[0]
    assert (f"| mean corruption error | {error['mean']:.4g} | 1 | one run | 07_noise_robustness |"
            in text)


def test_encoders_stand_in_columns_and_protocols_in_lines():
    common = dict(over="one run", sigma=np.nan, encoder="slim", pixels=48, n=1, std=None)
    frame = pd.DataFrame([
        dict(common, file="a", method="BYOL", protocol="kNN", labels_per_class="all", mean=0.5,
             epochs=3.0, minutes=40.0),
        dict(common, file="b", method="raw pixels", protocol="MLP", labels_per_class="all",
             mean=0.3, epochs=None, minutes=None)
    ])
    header, _, knn, mlp = tables.encoders(frame).splitlines()
    assert "BYOL, slim, 48 px, 3.0 epochs, 40.0 min" in header and "raw pixels" in header
    assert knn == "| kNN | all | 50.0 |  |" and mlp == "| MLP | all |  | 30.0 |"


def test_the_overview_has_a_line_for_each_method_and_fits_a_terminal():
    rows = [dict(notebook="03_feature_extraction", method=method, protocol="linear probe",
                 labels_per_class=count, sigma=np.nan, metric="test accuracy", mean=mean)
            for count in ("1", "5", "10", "50", "all")
            for method, mean in (("BYOL", 0.84), ("raw pixels", 0.682))]
    rows += [dict(notebook="07_noise_robustness", method="BYOL", protocol="linear",
                  labels_per_class="all", sigma=0.5, metric="test accuracy", mean=0.3)]
    lines = tables.overview(pd.DataFrame(rows)).splitlines()
    assert lines[0] == "test accuracy in %, by labels per class"
    assert lines[1].split() == ["1", "5", "10", "50", "all"]
    assert lines[2].split() == ["BYOL,", "linear", "probe", *["84.0"] * 5]
    assert lines[-1].split() == ["BYOL,", "linear", "30.0"]
    assert max(map(len, lines)) <= 80


def test_the_overview_of_other_notebooks_is_their_first_accuracies_and_names_are_cut():
    rows = [dict(notebook="05_vit", method=f"ViT {number} {'long ' * 20}", protocol="supervised",
                 labels_per_class="all", sigma=np.nan, metric="test accuracy", mean=0.9, std=np.nan)
            for number in range(40)]
    lines = tables.overview(pd.DataFrame(rows)).splitlines()
    assert len(lines) <= 20 and max(map(len, lines)) <= 80
    assert lines[1].startswith("05 ViT 0 long") and lines[1].endswith("...  90.0 %")
    assert tables.overview(pd.DataFrame()) == ""


def test_an_interval_stands_only_where_something_was_repeated_and_stays_a_share():
    assert tables.percent_interval(dict(mean=0.84, std=0.017, n=5)) == "84.0 (81.9–86.1)"
    assert tables.percent_interval(dict(mean=0.98, std=0.02, n=3)) == "98.0 (93.0–100.0)"
    assert tables.percent_interval(dict(mean=0.5, std=np.nan, n=1)) == "50.0"

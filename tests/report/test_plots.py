"""Figures say what they were given, in one style, and show nothing by themselves."""

import functools
from itertools import combinations, pairwise
from xml.etree import ElementTree

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from helpers.evaluation.diagnostics.checks import CheckResult
from helpers.evaluation.diagnostics.overfit import Overfit
from helpers.report import plots
from helpers.report.plots import style
from helpers.report.plots.images import as_array
from helpers.report.plots.lines import running_mean
from helpers.report.plots.lookup import map_page
from helpers.report.plots.style import (
    CLASS_COLORS,
    RIGHT,
    WRONG,
    class_colors,
    line_styles,
    spread_out,
)

matplotlib.use("agg")
DIGITS = tuple("0123456789")
PHOTOGRAPHS = ["tench", "English springer", "cassette player", "chain saw", "church", "French horn",
               "garbage truck", "gas pump", "golf ball", "parachute"]  # Imagenette's
LABELS = torch.arange(40) % 10
MONITOR = [
    dict(step=10 * i, knn=0.5 + 0.04 * i, feature_std=0.9 - 0.1 * i, rank=20 - 2 * i, dimensions=96,
         projection_std=0.8 - 0.1 * i, projection_rank=18 - 2 * i)
    for i in range(9)
]
TEACHERS = {
    name: ([dict(step=1, mean=6.1, single=6.0), dict(step=2, mean=6.2, single=6.2)], knn)
    for name, knn in (("both", 0.95), ("one", 0.8))
}
ANSWERS = [dict(step=0, knn=0.5)] + [
    dict(step=10 * i, entropy=6 - i, variety=6 - i / 4, kl=0.5 / i, uniform=6.24)
    for i in range(1, 6)
]
ROWS = [
    dict(method=method, labels_per_class=count, mean=0.9, std=0.02 if count else None,
         n=5 if count else 1)
    for method in ("fine-tuned BYOL", "from scratch")
    for count in (1, 10, 0)
]
SIGMAS = [0.0, 0.5, 1.0]
SCORES = np.array([[1.0, 0.6, 0.2], [0.8, 0.4, 0.2]])

DAMAGE = {"blur": np.array([0.1, 0.2, 0.3, 0.4, 0.5]), "fog": np.array([0.5] * 5)}
TRIALS = [
    dict(number=0, values=dict(lr=1e-3, hidden=64), score=0.5, pruned=False,
         evaluations={10: 0.4, 20: 0.5}),
    dict(number=1, values=dict(lr=1e-2, hidden=256), score=0.3, pruned=True, evaluations={10: 0.3}),
    dict(number=2, values=dict(lr=3e-3, hidden=64), score=0.7, pruned=False,
         evaluations={10: 0.6, 20: 0.7})
]
PUBLISHED = [dict(name="theirs", minutes=54, mean=0.7)]
MCE = {"BYOL": 1.0, "noise-BYOL": 0.5}


def points(dims=2, seed=0):
    return np.random.default_rng(seed).normal(size=(40, dims))


def some_images(count=4, channels=1, sides=(8, 8)):
    return torch.randint(0, 256, (count, channels, *sides), dtype=torch.uint8)


FIGURES = {
    "accuracy_over_time": lambda: plots.accuracy_over_time(
        {"BYOL": [([1e-7, 1, 10], [0.3, 0.4, 0.6], [0, 0.1, 0])]}, PUBLISHED, "T", "kNN (%)", "n"),
    "image_grid": lambda: plots.image_grid(some_images(), title="T"),
    "views_grid": lambda: plots.views_grid(some_images(), some_images(), some_images(), title="T"),
    "curves": lambda: plots.curves({"a": [1, 2], "b": ([0, 5], [2, 1])}, "step", "loss (nats)", "T",
                                   smooth=2),
    "confusion": lambda: plots.confusion(np.eye(10) * 3, DIGITS, "T"),
    "per_class": lambda: plots.per_class({"BYOL": np.linspace(0.5, 1, 10)}, DIGITS, "T"),
    "loss_curves": lambda: plots.loss_curves({"a": [2.0, 0.1], "b": [2.0, 1.0]}, "T",
                                             {"limit": 0.5}),
    "ways": lambda: plots.ways(
        [dict(method="ViT", scores=[0.5, 0.6], seconds=1.0, parameters=1000)], "T"),
    "learning_rates": lambda: plots.learning_rates({0.1: Overfit([2.0, 0.0], 1, True, 0.1)}, 0.01,
                                                    "T"),
    "layer_profile": lambda: plots.layer_profile({"blocks.0.mlp.0.weight": 0.5}, {
        "blocks.0.mlp.0.weight": 0.5
    }, [dict(mean=0.0, std=1.0)], "T"),
    "distributions": lambda: plots.distributions({"block 1": (torch.randn(99), torch.randn(9))},
                                                  "T"),
    "check_table": lambda: plots.check_table({"healthy": [CheckResult("a", True, 0.0, "0")]}, "T"),
    "patches": lambda: plots.patches(some_images(1)[0], 2, "T"),
    "attention_heads": lambda: plots.attention_heads(
        some_images(1)[0], [torch.rand(3, 4, 4)], "T"),
    "attention_close_up": lambda: plots.attention_close_up(
        some_images(1)[0], torch.full((4, 4), 1 / 16), "T"),
    "neighbours_grid": lambda: plots.neighbours_grid(some_images(2), [0, 1],
                                                      some_images(6).view(2, 3, 1, 8, 8),
                                                      [[0, 1, 0], [1, 1, 0]], DIGITS, title="T"),
    "attention_grid": lambda: plots.attention_grid(some_images(3),
                                                       {"4 x 4": torch.rand(3, 4, 4)}, title="T"),
    "image_map": lambda: plots.image_map(points(), some_images(40),
                                          np.arange(40) < 3, title="T", note="red: three"),
    "teacher_entropies": lambda: plots.teacher_entropies(TEACHERS, 6.24, "T"),
    "teacher_watch": lambda: plots.teacher_watch(ANSWERS),
    "pretraining_watch": lambda: plots.pretraining_watch([1.0] * 80, [0.99] * 80, MONITOR),
    "collapse_watch": lambda: plots.collapse_watch({"BYOL": ([1.0] * 80, MONITOR)}, "T"),
    "bars": lambda: plots.bars([dict(method="BYOL", mean=0.826, std=0.039, n=5)], "T", chance=0.1),
    "dot_panels": lambda: plots.dot_panels(
        [dict(method="BYOL", protocol="kNN", mean=0.8, low=0.75, high=0.84)], "T", chance=0.1),
    "paired_gains": lambda: plots.paired_gains({"1": np.array([0.1, 0.2])}, "T",
                                              "gain (percentage points)"),
    "label_curve": lambda: plots.label_curve(ROWS, 104, "T"),
    "label_panels": lambda: plots.label_panels({"own": [ROWS[0]["method"]]}, ROWS, 104, "T"),
    "noise_curve": lambda: plots.noise_curve({"BYOL": (SIGMAS, SCORES)}, "T", 0.1),
    "similarity_curve": lambda: plots.similarity_curve({"BYOL": (SIGMAS, SCORES)}, "T"),
    "corruption_table": lambda: plots.corruption_table({"BYOL": DAMAGE, "noise-BYOL": DAMAGE}, MCE,
                                                        "T"),
    "search_history": lambda: plots.search_history(TRIALS, "T"),
    "importances": lambda: plots.importances({"lr": (0.7, 0.5, 0.9), "hidden": (0.3, 0.1, 0.5)},
                                             "T"),
    "slices": lambda: plots.slices(TRIALS, ["lr"], "T"),
    "layer_curve": lambda: plots.layer_curve({"BYOL": [("pixels", 0.9), ("features", 0.5)]}, "T"),
    "predictions": lambda: plots.predictions(some_images(), LABELS[:4], {"BYOL": LABELS[:4]},
                                              DIGITS, "T"),
    "embeddings": lambda: plots.embeddings({"PCA": points()}, LABELS, DIGITS, None, "T"),
    "embedding_3d": lambda: plots.embedding_3d(points(3), LABELS, DIGITS, "T"),
}


@functools.cache
def drawn(name):
    figure = FIGURES[name]()
    figure.draw_without_rendering()
    return figure


def words(figure):
    """All text that the figure shows."""
    figure.draw_without_rendering()
    return [
        text.get_text()
        for text in figure.findobj(matplotlib.text.Text)
        if text.get_text() and text.get_visible()
    ]


@pytest.mark.parametrize("name", FIGURES)
def test_no_number_is_written_as_mathematics(name):
    """Names may hold dollars, so that nothing is read as mathematics."""
    assert not any("$" in text for text in words(FIGURES[name]()))


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_returned_titled_and_closed(name):
    assert drawn(name).get_suptitle()
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    "name",
    sorted(
        set(FIGURES) - {
            "image_grid", "views_grid", "predictions", "embedding_3d", "embeddings",
            "patches", "neighbours_grid", "attention_grid", "attention_heads", "attention_close_up",
            "image_map"
        }))
def test_both_axes_of_a_chart_are_named(name):
    # their y axis lists the methods
    unnamed_y = {"bars", "dot_panels", "ways", "corruption_table", "importances"}
    for ax in drawn(name).axes if name != "check_table" else ():  # whose columns are the checks
        if ax.get_label() != "<colorbar>":
            assert ax.get_xlabel() or ax.get_shared_x_axes().get_siblings(ax) != [ax]
            assert ax.get_ylabel() or name in unnamed_y or ax.get_shared_y_axes().get_siblings(
                ax) != [ax]


def test_every_function_of_the_package_is_drawn_here():
    assert set(FIGURES) == set(plots.__all__) - {"map_page"}  # which is no figure


def test_drawing_leaves_the_global_style_alone():
    before = dict(matplotlib.rcParams)
    FIGURES["bars"]()
    assert dict(matplotlib.rcParams) == before


def test_methods_have_different_colours():
    assert len(set(style.METHOD_COLORS.values())) == len(style.METHOD_COLORS)


def test_a_longer_name_has_the_colour_of_the_longest_method_it_begins_with():
    assert style.method_color(
        "supervised + noise, 5 labels") == style.METHOD_COLORS["supervised + noise"]
    assert style.method_color("BYOL, kNN") == style.METHOD_COLORS["BYOL"]
    assert style.method_color("BYOLish") not in style.METHOD_COLORS.values()


def test_an_unknown_name_keeps_its_colour_whatever_it_is_drawn_with():
    assert line_styles(["x", "BYOL"])["x"]["color"] == line_styles(["other", "x"])["x"]["color"]


def test_lines_of_one_colour_differ_in_dashes():
    styles = line_styles(["BYOL, kNN", "BYOL, linear"])
    assert styles["BYOL, kNN"]["color"] == styles["BYOL, linear"]["color"]
    assert styles["BYOL, kNN"]["linestyle"] != styles["BYOL, linear"]["linestyle"]


def test_training_is_dashed_and_validation_solid():
    styles = line_styles(["ViT, train", "ViT, val"])
    assert (styles["ViT, train"]["linestyle"], styles["ViT, val"]["linestyle"]) == ("--", "-")


@pytest.mark.parametrize("count", [2, 10, 37])
def test_classes_have_different_colours(count):
    assert len(set(class_colors(count))) == count


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12).map(sorted))
def test_labels_keep_their_order_their_distance_and_the_axes(heights):
    placed = spread_out(heights, 0.06)
    assert all(after - before >= 0.06 - 1e-9
               for before, after in zip(placed, placed[1:], strict=False))
    assert placed[0] >= -1e-9 and placed[-1] <= 1 + 1e-9


def test_labels_far_apart_stay_where_their_lines_end():
    assert spread_out([0.1, 0.5, 0.9], 0.06) == pytest.approx([0.1, 0.5, 0.9])


def test_two_labels_at_one_height_move_apart_evenly():
    assert spread_out([0.5, 0.5], 0.1) == pytest.approx([0.45, 0.55])


def test_uint8_and_normalised_images_look_the_same():
    image = some_images(1, 3)[0]
    np.testing.assert_allclose(as_array(image), as_array(image.float() / 127.5 - 1), atol=1e-6)


def test_a_noisy_image_is_clipped_to_what_a_screen_can_show():
    assert as_array(torch.tensor([[[-3.0, 3.0]]])).tolist() == [[0.0, 1.0]]


def test_a_grid_draws_every_image_once():
    figure = plots.image_grid(some_images(11), columns=4)
    assert sum(len(ax.images) for ax in figure.axes) == 11


def test_a_colour_image_keeps_its_three_channels():
    assert plots.image_grid(some_images(1, 3)).axes[0].images[0].get_array().shape == (8, 8, 3)


def test_running_mean_matches_its_definition():
    y = np.array([1.0, 2.0, 6.0, 3.0])
    np.testing.assert_allclose(running_mean(y, 3), [1.5, 3.0, 11 / 3, 4.5])


def test_percent_curves_are_in_percent():
    ax = plots.curves({"a": [0.2, 0.4]}, "step", "accuracy (%)", "T", percent=True).axes[0]
    assert ax.lines[0].get_ydata().tolist() == [20.0, 40.0]


def test_a_curve_says_what_n_is_and_over_how_many_points_it_is_smoothed():
    figure = plots.curves({"a": [1.0, 2.0]}, "step", "loss", "T", smooth=5, note="n = 7 images")
    assert "n = 7 images · bold: mean of 5 points" in words(figure)


def test_a_curve_that_ends_in_nan_is_named_at_its_last_number():
    assert "b" in words(plots.curves({"a": [1.0, 2.0], "b": [1.0, np.nan]}, "step", "loss", "T"))


def test_bars_write_percentages_and_the_number_of_runs():
    rows = [
        dict(method="BYOL", mean=0.826, std=0.039, n=5),
        dict(method="ViT", mean=0.5, std=None, n=1)
    ]
    text = words(plots.bars(rows, "T"))
    assert "82.6 ± 3.9  (n = 5)" in text and "50.0  (n = 1)" in text


def test_dot_panels_leave_a_gap_for_a_missing_pair():
    rows = [dict(method="a", protocol="p", mean=0.5, low=0.25, high=0.75),
            dict(method="b", protocol="q", mean=0.25, low=0.125, high=0.5)]
    first, second = plots.dot_panels(rows, "T").axes
    assert [list(line.get_xdata()) for line in first.lines] == [[25.0, 75.0], [50.0]]
    assert [list(line.get_xdata()) for line in second.lines] == [[12.5, 50.0], [25.0]]


def test_dots_lie_in_their_intervals_on_one_axis():
    rows = [dict(method="a", protocol="p", mean=0.9, low=0.85, high=0.93),
            dict(method="b", protocol="q", mean=0.5, low=0.4, high=0.6)]
    left, right = plots.dot_panels(rows, "T").axes
    assert left.lines[0].get_xdata().tolist() == [85.0, 93.0]
    assert right.lines[1].get_xdata().tolist() == [50.0] and left.get_xlim() == right.get_xlim()


def test_bars_that_are_not_to_be_compared_are_hatched():
    rows = [dict(method="a", mean=0.9, n=1, hatched=True), dict(method="b", mean=0.8, n=1)]
    figure = plots.bars(rows, "T", hatched="another start")
    assert [bar.get_hatch() for bar in figure.axes[0].patches] == ["//", None]
    assert any("hatched: another start" in each for each in words(figure))


def test_each_panel_of_a_label_curve_names_its_own_lines():
    rows = [dict(method=name, labels_per_class=count, mean=mean, std=0.01, n=3)
            for name, mean in (("BYOL", 0.8), ("DINO", 0.7)) for count in (1, "all")]
    left, right = plots.label_panels({"x": ["BYOL"], "y": ["DINO"]}, rows, 100, "T").axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["BYOL"]
    assert len(left.lines) == len(right.lines) == 2


def test_gains_are_shown_in_percentage_points():
    ax = plots.paired_gains({"1": np.array([0.02, 0.04])}, "T", "gain").axes[0]
    assert ax.lines[0].get_xdata()[0] == pytest.approx(3.0)


def test_a_confusion_matrix_is_coloured_by_the_share_of_the_true_class():
    ax = plots.confusion(np.array([[8, 2], [0, 5]]), ("a", "b"), "T").axes[0]
    assert ax.collections[0].get_array().tolist() == [[80.0, 20.0], [0.0, 100.0]]


def test_a_confusion_matrix_of_an_absent_class_is_drawn():
    ax = plots.confusion(np.array([[3, 0], [0, 0]]), ("a", "b"), "T").axes[0]
    assert ax.collections[0].get_array()[1].tolist() == [0.0, 0.0]


def test_a_class_without_images_has_no_mark():
    ax = plots.per_class({"BYOL": [0.5, np.nan]}, ("a", "b"), "T").axes[0]
    assert np.ma.count(ax.collections[1].get_offsets()[:, 1]) == 1


def test_all_labels_lie_at_the_size_of_a_class():
    ax = plots.label_curve(ROWS, 104, "T").axes[0]
    ticks = dict(
        zip(ax.get_xticks(), (tick.get_text() for tick in ax.get_xticklabels()), strict=True))
    assert ticks == {1.0: "1", 10.0: "10", 104.0: "all (104)"}


def test_the_word_all_is_understood_like_zero():
    rows = [{**row, "labels_per_class": row["labels_per_class"] or "all"} for row in ROWS]
    assert words(plots.label_curve(rows, 104, "T")) == words(plots.label_curve(ROWS, 104, "T"))


def test_a_label_curve_says_how_many_draws_it_is_the_mean_of():
    assert any("n = 5, with all labels n = 1" in text
               for text in words(plots.label_curve(ROWS, 104, "T")))


def test_minutes_are_drawn_from_the_first_training_on_and_published_points_stand_alone():
    ax = drawn("accuracy_over_time").axes[0]
    line, point = ax.lines
    assert line.get_xdata().tolist() == [1, 10] and line.get_ydata().tolist() == [40, 60]
    assert (point.get_xdata()[0], point.get_ydata()[0]) == (54, 70) and ax.get_xscale() == "log"
    assert {"BYOL", "theirs"} <= set(words(drawn("accuracy_over_time")))


def test_the_budgets_of_one_contender_have_one_look_and_one_name_at_the_longest():
    short, long = ([1, 3], [0.3, 0.5], [0, 0]), ([1, 6], [0.3, 0.4], [0, 0])
    figure = plots.accuracy_over_time({"BYOL": [long, short], "BYOL, slim": [short]}, [], "T",
                                       "kNN (%)", "n")
    lines = figure.axes[0].lines
    looks = [(line.get_color(), line.get_linestyle()) for line in lines]
    assert looks[0] == looks[1] != looks[2] and looks[0][0] == looks[2][0]
    assert words(figure).count("BYOL") == 1
    (end,) = (note.xy for note in figure.axes[0].texts if note.get_text() == "BYOL")
    assert end == (6, 40)


def test_a_noise_curve_draws_mean_and_sample_deviation_over_draws():
    ax = plots.noise_curve({"BYOL": (SIGMAS, SCORES)}, "T", 0.1).axes[0]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [90, 50, 20])
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx(90 + 100 * SCORES[:, 0].std(ddof=1))


def test_sigma_is_also_given_in_pixel_units_which_are_half_as_large():
    figure = plots.noise_curve({"BYOL": (SIGMAS, SCORES)}, "T", 0.1)
    figure.draw_without_rendering()
    top = figure.axes[0].child_axes[0]
    assert top.get_xlim() == pytest.approx((0.0, 0.5))


def test_the_noise_figures_say_what_was_repeated():
    for draw in (lambda **o: plots.noise_curve({"BYOL": (SIGMAS, SCORES)}, "T", 0.1, **o),
                 lambda **o: plots.similarity_curve({"BYOL": (SIGMAS, SCORES)}, "T", **o)):
        assert any(f"n = {len(SCORES)} trainings" in word for word in words(draw()))
        assert any(f"n = {len(SCORES)} draws" in word for word in words(draw(over="draws")))
    once = plots.noise_curve({"BYOL": (SIGMAS, SCORES[:1])}, "T", 0.1, over="one training")
    assert "one training" in words(once)


def test_a_corruption_table_shows_mean_accuracies_and_marks_the_best_of_a_column():
    better = {kind: values / 2 for kind, values in DAMAGE.items()}
    figure = plots.corruption_table({"BYOL": DAMAGE, "noise-BYOL": better}, MCE, "T")
    (ax, _) = figure.axes
    shown = {text.get_text(): text.get_weight() for text in ax.texts}
    # errors of 0.3 and 0.15 on average
    assert shown["70.0"] == "normal" and shown["85.0"] == "bold"
    assert {"60.0", "80.0", "mean", "0.50", "1.00", "mCE"} <= set(shown)


def test_a_search_shows_finished_and_pruned_trials_and_the_best_so_far():
    left, right = plots.search_history(TRIALS, "T").axes
    assert [list(line.get_xdata()) for line in left.lines] == [[10, 20], [10], [10, 20]]
    finished, pruned, best, first = right.lines
    assert list(finished.get_xdata()) == [1, 3] and list(pruned.get_xdata()) == [2]
    np.testing.assert_allclose(best.get_ydata(), [50, 70])
    assert list(first.get_xdata()) == [1]


def test_importances_come_largest_first():
    (ax,) = plots.importances({"hidden": (0.3, 0.1, 0.4), "lr": (0.7, 0.6, 0.8)}, "T").axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["lr", "hidden"]


def test_slices_put_numbers_on_an_axis_and_choices_beside_each_other():
    rates, widths = plots.slices(TRIALS, ["lr"], "T").axes
    assert rates.get_xscale() == "log" and widths.get_xscale() == "linear"
    assert [label.get_text() for label in widths.get_xticklabels()] == ["64", "256"]
    # the last one rings the best
    assert [line.get_marker() for line in rates.lines] == ["o", "x", "o", "o"]


def test_deviation_and_rank_have_a_panel_each_on_a_plain_axis_with_its_limit():
    figure = plots.pretraining_watch([1.0] * 80, [0.99] * 80, MONITOR)
    for title, limit in (("standard deviation", 0.1), ("effective rank", 2.0)):
        (ax,) = (ax for ax in figure.axes if ax.get_title().startswith(title))
        assert ax.get_yscale() == "linear" and ax.get_ylim()[0] == 0
        assert ax.patches[-1].get_y() + ax.patches[-1].get_height() == pytest.approx(limit)
        assert [line.get_label() for line in ax.lines] == ["features", "projections"]


def test_the_watch_writes_nothing_over_its_legends():
    steps = range(0, 1101, 85)
    rows = [dict(step=step, knn=0.9, dimensions=96, feature_std=0.6, projection_std=0.9,
                 rank=50 - step / 200, projection_rank=30 - step / 150) for step in steps]
    figure = plots.pretraining_watch([1.0] * 1100, [0.99] * 1100, rows)
    FigureCanvasAgg(figure).draw()
    legends = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    assert len(legends) == 2
    for legend in legends:
        box = legend.get_window_extent()
        assert not any(box.overlaps(text.get_window_extent()) for text in legend.axes.texts)
        assert not any(box.contains(*point) for line in legend.axes.lines
                       for point in legend.axes.transData.transform(line.get_xydata()))


def test_rows_of_an_earlier_release_are_drawn_without_projections():
    rows = [{name: value for name, value in row.items() if "projection" not in name}
            for row in MONITOR]
    figure = plots.pretraining_watch([1.0] * 80, [0.99] * 80, rows)
    assert [line.get_label() for line in figure.axes[-1].lines] == ["features"]
    assert plots.collapse_watch({"BYOL": ([1.0] * 80, rows)}, "T").axes


def long_names(name):
    """A figure with the classes of photographs and as deep a ViT as a GPU trains."""
    random = np.random.RandomState(0)
    names, labels = PHOTOGRAPHS, np.arange(10).repeat(30)
    points = random.randn(300, 3) + 0.8 * random.randn(10, 3)[labels]
    maps = {"rollout": np.full((6, 8, 8), 1 / 64)}
    weights = {f"blocks.{block}.mlp.0.weight": 0.5 for block in range(12)}
    blocks = [dict(mean=0.0, std=1.0) for _ in range(12)]
    title = "t-SNE in 3D: noise-BYOL, clean and noisy images, sigma 0.8"
    rates = {rate: Overfit([2.0, 0.02], 1, False, rate) for rate in (0.001, 0.003, 0.01, 0.03)}
    figures = {
        "image_grid": lambda: plots.image_grid(some_images(12), names + names[:2], columns=12,
                                               title="T"),
        "attention_grid": lambda: plots.attention_grid(
            some_images(6), maps, "T", [f"{a} → {b}" for a, b in pairwise(names[:7])]),
        "embeddings": lambda: plots.embeddings(dict.fromkeys("abc", points[:, :2]), labels, names,
                                               title="T"),
        "embedding_3d": lambda: plots.embedding_3d(points, labels, names, title, noisy=points),
        "layer_profile": lambda: plots.layer_profile(weights | {"head.weight": 1.0}, weights,
                                                     blocks, "T"),
        "learning_rates": lambda: plots.learning_rates(rates, 0.01, "T"),
        "predictions": lambda: plots.predictions(
            some_images(10, sides=(48, 97)), np.arange(10),
            {method: (np.arange(10), (np.arange(10) + 2) % 10)
             for method in ("supervised + noise", "dino-joined-imagenette")}, names, "T")}
    return figures[name]()


def placed(figure):
    """What is written in a figure, and where."""
    FigureCanvasAgg(figure).draw()
    found = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for ax in (ax for ax in figure.axes if ax.name != "3d"):
        found += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        found += [tick.label1 for axis in (ax.xaxis, ax.yaxis) for tick in axis.get_major_ticks()
                  if min(axis.get_view_interval()) <= tick.get_loc() <= max(
                      axis.get_view_interval())]
    return [(text.get_text(), text.get_window_extent()) for text in found
            if text.get_visible() and text.get_text().strip()]


@pytest.mark.parametrize("name", ["image_grid", "attention_grid", "embeddings", "embedding_3d",
                                  "layer_profile", "learning_rates", "predictions"])
def test_no_word_lies_on_another_where_classes_have_long_names(name):
    boxes = placed(long_names(name))
    assert len(boxes) > 5
    assert not [(one, other) for (one, box), (other, beside) in combinations(boxes, 2)
                if box.overlaps(beside)]


def test_a_network_without_blocks_has_its_ends():
    figure = plots.layer_profile({"patches.weight": 0.5}, {"head.weight": 1.0},
                                 [dict(mean=0.0, std=1.0)], "T")
    assert [tick.get_text() for tick in figure.axes[0].get_xticklabels()] == ["in", "out"]


def test_the_loss_of_dino_is_no_cosine():
    figure = plots.pretraining_watch([1.0] * 80, [0.99] * 80, MONITOR, method="DINO")
    assert figure.axes[0].get_ylabel() == "cross-entropy (nats)"


def test_right_and_wrong_differ_in_sign_and_in_colour():
    figure = plots.predictions(some_images(2), [3, 4], {"BYOL": [3, 9]}, DIGITS, "T")
    marks = {text.get_text(): text.get_color() for text in figure.findobj(matplotlib.text.Text)
             if text.get_text().startswith(("✓ ", "✗ "))}
    assert marks == {"✓ 3": RIGHT, "✗ 9": WRONG}


def test_two_images_side_by_side_have_a_verdict_each_below_their_own():
    wide = torch.cat([some_images(2)] * 2, dim=3)
    figure = plots.predictions(wide, [3, 4], {"BYOL": ([3, 4], [3, 9])}, DIGITS, "T")
    found = [(text.get_text(), text.xy[0]) for text in figure.axes[1].texts
             if text.get_text()[0] in "✓✗"]
    assert found == [("✓ 4", 0.25), ("✗ 9", 0.75)]


def test_clean_and_noisy_points_in_space_are_dots_and_crosses():
    cloud = np.random.default_rng(0).normal(size=(2, len(LABELS), 3))
    alone = plots.embedding_3d(cloud[0], LABELS, DIGITS, "T")
    both = plots.embedding_3d(cloud[0], LABELS, DIGITS, "T", noisy=cloud[1])
    assert [len(figure.axes[0].collections) for figure in (alone, both)] == [1, 2]
    said = [text.get_text() for text in both.legends[0].get_texts()]
    assert said[-2:] == ["clean", "noisy"]


def test_points_and_their_noisy_twins_have_the_same_colours():
    ax = plots.embeddings({"PCA": points()}, LABELS, DIGITS, {"PCA": points(seed=1)}, "T").axes[0]
    noisy, clean = ax.collections
    np.testing.assert_allclose(clean.get_facecolor()[:, :3], noisy.get_edgecolor()[:, :3])
    assert tuple(clean.get_facecolor()[3, :3]) == pytest.approx(to_rgb(CLASS_COLORS[3]))


def test_images_without_a_label_are_named_so():
    text = words(plots.embeddings({"PCA": points()}, torch.full((40,), -1), DIGITS, None, "T"))
    assert "no label" in text


def test_class_names_are_written_into_the_map():
    # in the cloud, in the legend
    assert words(plots.embeddings({"PCA": points()}, LABELS, DIGITS)).count("7") == 2


def test_a_method_has_one_colour_in_different_figures_wherever_it_stands():
    rows = [dict(method=method, mean=0.5, std=None, n=1) for method in ("PCA 256", "from scratch")]
    noise = {"from scratch": (SIGMAS, SCORES), "PCA 256": (SIGMAS, SCORES)}
    bar = plots.bars(rows, "T").axes[0].patches[1].get_facecolor()[:3]
    line = plots.noise_curve(noise, "T", 0.1).axes[0].lines[0].get_color()
    assert to_rgb(bar) == pytest.approx(to_rgb(line))
    assert to_rgb(line) == pytest.approx(to_rgb(style.method_color("from scratch")))


def test_a_teachers_entropies_have_a_panel_a_training_with_both_limits():
    panels = plots.teacher_entropies(TEACHERS, 6.24, "T").axes
    assert [ax.get_title() for ax in panels] == ["both\nkNN 95.0%", "one\nkNN 80.0%"]
    assert [list(line.get_ydata()) for line in panels[1].lines[:2]] == [[6.1, 6.2], [6.0, 6.2]]
    limits = [line.get_ydata()[0] for line in panels[1].lines[2:]]
    assert limits == [0, 6.24]


def test_teacher_watch_marks_both_collapses():
    answers, lag = plots.teacher_watch(ANSWERS).axes
    heights = [line.get_ydata()[0] for line in answers.lines if len(set(line.get_ydata())) == 1]
    assert heights == [6.24, 0]
    # the look before the first step knows no answers
    assert list(lag.lines[0].get_xdata()) == [10, 20, 30, 40, 50]


def test_neighbours_are_framed_by_whether_they_have_the_querys_class():
    figure = drawn("neighbours_grid")
    frames = [
        ax.spines["left"].get_edgecolor()[:3]
        for ax in figure.axes
        if ax.spines["left"].get_visible()
    ]
    right, wrong = to_rgb(RIGHT), to_rgb(WRONG)
    assert frames == [right, wrong, right, right, right, wrong]


def test_an_image_map_shows_marked_images_even_where_it_leaves_others_out(monkeypatch):
    monkeypatch.setattr("helpers.report.plots.lookup.SHOWN", 5)
    figure = plots.image_map(points(), some_images(40), np.arange(40) >= 38, title="T")
    assert len(figure.axes[0].images) == 7 and len(figure.axes[0].lines) == 2
    assert "7 of n = 40 images" in figure.get_supxlabel()


def test_the_explorer_is_one_svg_with_an_image_and_an_escaped_caption_a_point():
    svg = map_page(points(), some_images(40), LABELS, DIGITS, captions=["<b>"] * 40)
    root = ElementTree.fromstring(svg)
    points_to_hover = root.findall("./g[@class='p']")
    assert len(root.findall("./circle")) == len(points_to_hover) == len(
        root.findall("./g/g/image")) == 40
    assert {text.text for point in points_to_hover for text in point.iter("text")} == {"<b>"}
    assert [text.text for text in root.findall("./g[@class='legend']/text")] == list(DIGITS)
    assert "script" not in svg


def test_images_of_the_explorer_lie_above_all_dots_and_inside_the_map():
    root = ElementTree.fromstring(map_page(points(), some_images(40), LABELS, DIGITS))
    kinds = [element.tag for element in root
             if element.tag == "circle" or element.get("class") == "p"]
    assert kinds == ["circle"] * 40 + ["g"] * 40
    side = float(root.get("viewBox").split()[-1])
    for shown in root.findall("./g/g/image"):
        assert all(0 <= float(shown.get(axis)) <= side - 96 for axis in "xy")


def test_bands_of_a_label_curve_are_one_deviation_wide_and_end_at_certainty():
    rows = [
        dict(method="BYOL", labels_per_class=count, mean=0.9, std=0.2, n=3) for count in (1, 10)
    ]
    heights = plots.label_curve(rows, 104, "T").axes[0].collections[0].get_paths()[0].vertices[:,
                                                                                                1]
    assert heights.min() == pytest.approx(70) and heights.max() == pytest.approx(100)


def test_bands_of_a_label_curve_are_the_interval_of_the_mean_where_that_is_asked_for():
    rows = [dict(method="random", labels_per_class=count, mean=0.5, std=0.02, n=10)
            for count in (1, 10)]
    figure = plots.label_curve(rows, 104, "T", interval=True)
    heights = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    reach = 2.262 * 2 / 10 ** 0.5  # Student's t with nine degrees of freedom
    assert heights.min() == pytest.approx(50 - reach, abs=0.01)
    assert heights.max() == pytest.approx(50 + reach, abs=0.01)
    assert any("95 % interval" in text for text in words(figure))

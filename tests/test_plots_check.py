"""The check-up's figures show the numbers that they are given."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import pytest
import torch

from helpers import plots_check
from helpers.diagnostics import Finding, Overfit


def test_loss_curves_draw_the_losses_and_the_tolerance():
    (axes,) = plots_check.loss_curves({"healthy": [2.0, 0.5], "broken": [2.0, 1.9]}, 0.01).axes
    assert [line.get_label() for line in axes.lines] == ["healthy", "broken", "tolerance 0.01"]
    assert list(axes.lines[0].get_ydata()) == [2.0, 0.5]
    assert axes.get_yscale() == "log"


def test_a_rate_that_misses_the_tolerance_is_marked_with_a_cross():
    runs = {1e-3: Overfit([2.0, 1.0], 1, False, 0.1), 1e-2: Overfit([2.0, 0.0], 1, True, 0.1)}
    _, right = plots_check.learning_rates(runs, 0.01).axes
    assert [line.get_marker() for line in right.lines] == ["x", "o"]
    assert "not reached" in right.get_title()


def test_the_check_table_colours_exactly_what_was_caught():
    findings = {"healthy": [Finding("a", True, 0.0, "0"), Finding("b", True, 1.0, "> 0.5")],
                "broken": [Finding("a", False, 0.25, "0"), Finding("b", True, 0.75, "> 0.5")]}
    (axes,) = plots_check.check_table(findings).axes
    assert axes.images[0].get_array().tolist() == [[0, 0], [1, 0]]
    assert [text.get_text() for text in axes.texts] == ["0", "1.00", "0.25", "0.75"]


def test_a_patch_of_attention_lies_where_the_patch_is():
    rollout = torch.zeros(1, 5, 5)
    rollout[0, 0, 2] = 1                                       # second patch of 2 x 2: top right
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    figure = plots_check.attention(images, rollout, rollout[:, None], ["zero"])
    assert figure.axes[1].images[1].get_array().tolist() == [[0, 1], [0, 0]]


def test_the_layer_profile_puts_weights_at_their_block():
    norms = {"patches.weight": 1.0, "blocks.0.mlp.0.weight": 0.5, "blocks.1.mlp.0.weight": 0.25,
             "head.weight": 2.0}
    rows = [{"layer": "block 1", "mean": 0.0, "std": 1.0}, {"layer": "block 2", "mean": 0.0, "std": 2.0}]
    axes = plots_check.layer_profile(norms, norms, rows).axes[0]
    lines = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines}
    assert lines == {"MLP in": ([1, 2], [0.5, 0.25]), "patches": ([0], [1.0]), "head": ([3], [2.0])}


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.00113, "1e-03"), (0.214, "0.21"), (11.254, "11.25")])
def test_measured_values_are_short(value, text):
    assert plots_check.short(value) == text


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    plots_check.schedules({"a": [0.0, 1.0]})
    assert plt.get_fignums() == []

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
    figure = plots_check.attention(images, {"rollout": rollout, "head 1": 2 * rollout}, ["zero"])
    assert [axes.get_title() for axes in figure.axes] == ["picture", "rollout", "head 1"]
    assert figure.axes[1].images[1].get_array().tolist() == [[0, 1], [0, 0]]
    assert figure.axes[2].images[1].get_array().tolist() == [[0, 2], [0, 0]]


def test_every_head_of_every_block_has_its_place():
    maps = [torch.zeros(3, 5, 5) for _ in range(2)]
    maps[1][2, 0, 4] = 1                                       # block 2, head 3, last patch
    figure = plots_check.attention_heads(torch.zeros(1, 8, 8, dtype=torch.uint8), maps)
    assert len(figure.axes) == 6
    assert [axes.get_title() for axes in figure.axes[:3]] == ["head 1", "head 2", "head 3"]
    assert [figure.axes[place].get_ylabel() for place in (0, 3)] == ["block 1", "block 2"]
    assert figure.axes[5].images[1].get_array().tolist() == [[0, 0], [0, 1]]
    assert figure.axes[4].images[1].get_array().tolist() == [[0, 0], [0, 0]]


def test_a_large_network_shows_evenly_spaced_blocks_and_heads():
    figure = plots_check.attention_heads(torch.zeros(1, 8, 8, dtype=torch.uint8), [torch.zeros(5, 5, 5)] * 9, most=3)
    assert len(figure.axes) == 9
    assert [axes.get_title() for axes in figure.axes[:3]] == ["head 1", "head 3", "head 5"]


def test_a_close_up_writes_the_share_of_each_patch():
    figure = plots_check.attention_close_up(torch.zeros(1, 8, 8, dtype=torch.uint8),
                                            torch.tensor([0.1, 0.2, 0.3, 0.4]))
    assert [text.get_text() for text in figure.axes[1].texts] == ["10", "20", "30", "40"]


def test_ways_of_training_show_accuracy_time_and_size():
    rows = [dict(method="from scratch", scores=[0.8, 0.9], seconds=3.0, parameters=136_581),
            dict(method="last block", scores=[0.7, 0.7], seconds=1.5, parameters=33_925)]
    figure = plots_check.ways(rows, "T")
    shown = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert shown == [["85.0", "70.0"], ["3.0", "1.5"], ["137", "34"]]


def test_distributions_are_shares_of_the_entries():
    values = {"block 1": (torch.linspace(-1, 1, 1000), torch.linspace(-1e-3, 1e-3, 1000)),
              "block 2": (torch.linspace(-1, 1, 1000), torch.empty(0))}
    left, right = plots_check.distributions(values).axes
    assert (len(left.lines), len(right.lines)) == (2, 1)       # a frozen block has no gradients
    assert sum(left.lines[0].get_ydata()) == pytest.approx(1, abs=0.01)


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

"""The figures of the check-up and of attention show the numbers that they are given."""

import matplotlib
import pytest
import torch

from helpers.evaluation.diagnostics.checks import CheckResult
from helpers.evaluation.diagnostics.overfit import Overfit
from helpers.report import plots
from helpers.report.plots.checks import short

matplotlib.use("agg")
IMAGE = torch.zeros(1, 8, 8, dtype=torch.uint8)


def test_loss_curves_draw_the_losses_and_name_their_marks():
    (ax,) = plots.loss_curves({"healthy": [2.0, 0.5], "broken": [2.0, 1.9]}, "T",
                               {"tolerance": 0.01}).axes
    assert [list(line.get_ydata()) for line in ax.lines] == [[2.0, 0.5], [2.0, 1.9], [0.01, 0.01]]
    assert {text.get_text() for text in ax.texts} == {"broken", "healthy", "tolerance"}
    assert ax.get_yscale() == "log"


def test_the_highlighted_loss_is_thicker_and_on_top():
    (ax,) = plots.loss_curves({"broken": [2.0, 1.9], "healthy": [2.0, 0.5]}, "T",
                               highlight="healthy").axes
    broken, healthy = ax.lines
    assert healthy.get_linewidth() > broken.get_linewidth() and healthy.get_zorder(
    ) > broken.get_zorder()


def test_a_loss_that_diverges_is_cut():
    (ax,) = plots.loss_curves({"a": [2.0, 1e9]}, "T").axes
    assert list(ax.lines[0].get_ydata()) == [2.0, 20.0]


def test_a_rate_that_misses_the_tolerance_is_marked_with_a_cross():
    runs = {1e-3: Overfit([2.0, 1.0], 1, False, 0.1), 1e-2: Overfit([2.0, 0.0], 1, True, 0.1)}
    _, right = plots.learning_rates(runs, 0.01, "T").axes
    assert [line.get_marker() for line in right.lines] == ["x", "o"]
    assert "not reached" in right.get_title()


def test_the_check_table_colours_exactly_what_was_caught():
    findings = {"healthy": [CheckResult("a", True, 0.0, "0"),
                            CheckResult("b", True, 1.0, "> 0.5")],
                "broken": [CheckResult("a", False, 0.25, "0"),
                           CheckResult("b", True, 0.75, "> 0.5")]}
    (ax,) = plots.check_table(findings, "T").axes
    assert ax.collections[0].get_array().tolist() == [[0, 0], [1, 0]]
    assert {text.get_text(): text.get_weight()
            for text in ax.texts
            } == {"0": "normal", "1.00": "normal", "0.25": "bold", "0.75": "normal"}


def test_a_patch_of_attention_lies_where_the_patch_is():
    weights = torch.tensor([[[0.0, 1.0], [0.0, 0.0]]])
    figure = plots.attention_grid(IMAGE[None], {"rollout": weights, "head 1": 2 * weights}, "T",
                                      ["zero"])
    *panels, scale = figure.axes
    assert [ax.get_ylabel() for ax in panels] == ["image", "rollout", "head 1"]
    assert scale.get_ylabel() == "multiples of uniform attention"
    assert figure.axes[0].get_title() == "zero"
    # twice the weights are the same multiples of uniform attention: four for one patch of four
    assert [ax.images[1].get_array().tolist() for ax in panels[1:]] == 2 * [[[0, 4], [0, 0]]]
    assert {ax.images[1].get_clim() for ax in panels[1:]} == {(0, 4)}
    assert figure.axes[1].images[0].get_extent() == figure.axes[1].images[1].get_extent()


def test_every_head_of_every_block_has_its_place():
    maps = [torch.zeros(3, 2, 2) for _ in range(2)]
    maps[1][2, 1, 1] = 1                                       # block 2, head 3, last patch
    figure = plots.attention_heads(IMAGE, maps, "T")
    assert len(figure.axes) == 6 + 1  # and the scale
    assert [ax.get_title() for ax in figure.axes[:3]] == ["head 1", "head 2", "head 3"]
    assert [figure.axes[place].get_ylabel() for place in (0, 3)] == ["block 1", "block 2"]
    assert figure.axes[5].images[1].get_array().tolist() == [[0, 0], [0, 4]]
    assert figure.axes[4].images[1].get_array().tolist() == [[0, 0], [0, 0]]


def test_a_large_network_shows_evenly_spaced_blocks_and_heads():
    figure = plots.attention_heads(IMAGE, [torch.zeros(5, 2, 2)] * 9, "T", most=3)
    assert len(figure.axes) == 9 + 1
    assert [ax.get_title() for ax in figure.axes[:3]] == ["head 1", "head 3", "head 5"]


def test_a_close_up_writes_the_multiple_of_each_patch_unless_there_are_too_many():
    figure = plots.attention_close_up(IMAGE, torch.tensor([[0.1, 0.2], [0.3, 0.4]]), "T")
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.4", "0.8", "1.2", "1.6"]
    figure = plots.attention_close_up(IMAGE, torch.full((14, 14), 1 / 196), "T")
    assert not figure.axes[1].texts


def test_ways_of_training_show_accuracy_time_and_size():
    rows = [dict(method="from scratch", scores=[0.8, 0.9], seconds=3.0, parameters=136_581),
            dict(method="last block", scores=[0.7, 0.7], seconds=1.5, parameters=33_925)]
    figure = plots.ways(rows, "T")
    assert [[text.get_text() for text in ax.texts] for ax in figure.axes] == [["85.0", "70.0"],
                                                                              ["3.0", "1.5"],
                                                                              ["137", "34"]]
    assert figure.axes[0].collections[0].get_offsets()[:, 0].tolist() == [80.0, 90.0]


def test_distributions_are_shares_of_the_entries():
    values = {"block 1": (torch.linspace(-1, 1, 1000), torch.linspace(-1e-3, 1e-3, 1000)),
              "block 2": (torch.linspace(-1, 1, 1000), torch.empty(0))}
    left, right = plots.distributions(values, "T").axes
    assert (len(left.lines), len(right.lines)) == (2, 1)       # a frozen block has no gradients
    assert sum(left.lines[0].get_ydata()) == pytest.approx(1, abs=0.01)


def test_the_layer_profile_puts_weights_at_their_block():
    norms = {"patches.weight": 1.0, "blocks.0.mlp.0.weight": 0.5, "blocks.1.mlp.0.weight": 0.25,
             "head.weight": 2.0}
    rows = [{"layer": "block 1", "mean": 0.0, "std": 1.0},
            {"layer": "block 2", "mean": 0.0, "std": 2.0}]
    ax = plots.layer_profile(norms, norms, rows, "T").axes[0]
    lines = {
        line.get_label(): (list(line.get_xdata()), list(line.get_ydata()))
        for line in ax.lines
    }
    assert lines == {"MLP in": ([1, 2], [0.5, 0.25]), "patches": ([0], [1.0]), "head": ([3], [2.0])}


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (9e-7, "9e-07"), (0.00113, "0.001"),
                                             (0.214, "0.21"), (11.254, "11.25")])
def test_measured_values_are_short(value, text):
    assert short(value) == text

"""Figures: numbers in, a matplotlib Figure out.

Nothing is computed here beyond what drawing needs, and nothing is shown: a notebook displays the
figure as the value of a cell, a script saves it with `figure.savefig(...)`.
"""

from helpers.report.plots.attention import attention_close_up, attention_grid, attention_heads
from helpers.report.plots.checks import check_table, distributions, layer_profile, learning_rates
from helpers.report.plots.classes import confusion, per_class
from helpers.report.plots.collapse import collapse_watch, pretraining_watch
from helpers.report.plots.compare import bars, dot_panels, paired_gains, ways
from helpers.report.plots.images import image_grid, patches, predictions, views_grid
from helpers.report.plots.lines import curves, loss_curves, teacher_entropies, teacher_watch
from helpers.report.plots.lookup import image_map, map_page, neighbours_grid
from helpers.report.plots.scatter import embedding_3d, embeddings
from helpers.report.plots.search import importances, search_history, slices
from helpers.report.plots.style import METHOD_COLORS, method_color
from helpers.report.plots.sweeps import (
    accuracy_over_time,
    corruption_table,
    label_curve,
    label_panels,
    layer_curve,
    noise_curve,
    similarity_curve,
)

__all__ = [
    "METHOD_COLORS", "accuracy_over_time", "attention_close_up", "attention_grid",
    "attention_heads", "bars", "check_table", "collapse_watch", "confusion", "corruption_table",
    "curves", "distributions", "dot_panels", "embedding_3d", "embeddings", "image_grid",
    "image_map", "importances", "label_curve", "label_panels", "layer_curve",
    "layer_profile", "learning_rates", "loss_curves", "map_page", "method_color",
    "neighbours_grid", "noise_curve", "paired_gains", "patches", "per_class", "predictions",
    "pretraining_watch", "search_history", "similarity_curve", "slices",
    "teacher_entropies", "teacher_watch", "views_grid", "ways"
]

"""Numbers to figures. Every function returns a matplotlib Figure and computes no result of its own."""

from helpers.plots.bars import bars, confusion, grouped_bars, paired_gains, per_class
from helpers.plots.lines import curves, label_curve, layer_curve, noise_curve, pretraining_watch
from helpers.plots.pictures import image_grid, predictions, views_grid
from helpers.plots.scatter import embedding_3d, embeddings

__all__ = ["bars", "confusion", "curves", "embedding_3d", "embeddings", "grouped_bars", "image_grid", "label_curve",
           "layer_curve", "noise_curve", "paired_gains", "per_class", "predictions", "pretraining_watch", "views_grid"]

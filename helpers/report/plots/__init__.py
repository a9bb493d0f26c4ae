"""Figures: numbers in, a matplotlib Figure out.

Nothing is computed here beyond what drawing needs, and nothing is shown: a notebook displays the
figure as the value of a cell, a script saves it with `figure.savefig(...)`.
"""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    attention="attention_close_up attention_grid attention_heads",
    checks="check_table distributions layer_profile learning_rates",
    classes="confusion per_class",
    collapse="collapse_watch pretraining_watch",
    compare="bars dot_panels paired_gains ways",
    images="image_grid patches predictions views_grid",
    lines="curves loss_curves teacher_entropies teacher_watch",
    lookup="image_map map_page neighbours_grid",
    scatter="embedding_3d embeddings",
    search="importances search_history slices",
    sweeps="accuracy_over_time corruption_table label_curve label_panels layer_curve noise_curve "
    "similarity_curve",
)

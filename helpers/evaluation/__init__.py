"""Features to numbers: probes, robustness, retrieval, outliers, maps, and does it learn at all."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    predictions="predict",
    features="extract_features is_vit pixel_features predict_logits",
    probes=
    "accuracy confusion few_label_scores knn_accuracy label_subsets linear_probe mlp_probe "
    "per_class_accuracy score",
    label_counts="majority_share usable_counts",
    spreading="spreading_scores",
    predictors="best_probe classifier_predictor pixel_predictions",
    noise="noisy_images sigmas_for",
    robustness="corruption_sweep mean_corruption_error noise_sweep",
    layers="layer_similarity",
    retrieval="copy_detection mean_average_precision neighbours",
    attention="attention_and_gradients attention_rollout class_attention gradient_rollout "
    "hide_patches",
    embedding="joint knn_agreement pca trustworthiness tsne umap",
    batch_probe="adam_probe batch_accuracy",
    linear_sgd="choose_linear crop_view linear_features view_features",
    labelling="LabelTable Rounds cross_validated",
    label_grid="LabelGrid thumbnail",
    selection="AUTO STRATEGIES labelled_so_far probe_of select suited",
    outliers=
    "DUPLICATE agreement consensus found_at label_doubt near_duplicates outlier_scores "
    "write_report",
    diagnostics__checks="check_up check_up_faults",
    diagnostics__overfit="best_learning_rate overfit_one_batch search_learning_rate",
    diagnostics__measures=
    "activation_statistics block_values gradient_norms loss_at_start update_ratios",
)

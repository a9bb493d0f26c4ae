"""Features to numbers."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    features="extract_features pixel_features predict_logits",
    probes=
    "accuracy confusion few_label_scores knn_accuracy label_draws linear_probe mlp_probe "
    "per_class_accuracy score",
    retrieval="copy_detection mean_average_precision neighbours",
    attention="attention_and_gradients attention_rollout class_attention gradient_rollout is_vit",
    robustness=
    "best_probe classifier_reader corruption_sweep layer_similarity mean_corruption_error "
    "noise_sweep noisy_images sigmas_for",
    embedding="joint knn_agreement pca trustworthiness tsne umap",
    linear_sgd="choose_linear crop_view linear_features view_features",
    outliers=
    "DUPLICATE agreement consensus found_at label_doubt near_duplicates outlier_scores "
    "write_report",
)

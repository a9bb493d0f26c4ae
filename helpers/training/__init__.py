"""Training: pretraining without labels, classifiers with labels, and what keeps a run alive."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    best="photo_encoder",
    kept="keep_classifier",
    pretraining="pretrain",
    find="chosen_encoder find_or_pretrain",
    finetune="few_label_training train_classifier",
    runs="fresh_encoder",
    trainer="Hardware fit",
    loader="BatchLoader",
    monitor="Monitor",
    noise_methods="FAINTEST noise_encoders noise_predictors supervised_classifiers sweep_rows",
    label_curve=
    "choose_rate curve_row gain_row imagenet_encoders kept_training label_counts model_names "
    "scratch_encoders trained_counts",
)

"""Encoders, and the weights that go into them."""

from helpers.common.lazy import offer

__getattr__, __all__ = offer(
    __name__,
    classifier_file="KeptClassifier load_classifier save_classifier",
    encoder="Encoder build",
    slim="ResidualBlock Slim",
    vit="Attention Block ViT build_vit",
    weights__choose="ask_encoder ask_start widgets_work",
    weights__layouts="load_torchvision",
    weights__hub="fetch pretrained",
    weights__convert="read_weights",
    weights__checkpoint="load_encoder save_encoder",
)

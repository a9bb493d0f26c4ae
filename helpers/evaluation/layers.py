"""How much noise changes each layer of an encoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn import functional as F

from helpers.evaluation.features import evaluating

# B x T x W to B x W
TOKENS = {"class": lambda tokens: tokens[:, 0], "mean": lambda tokens: tokens[:, 1:].mean(1)}


def layer_similarity(encoder: nn.Module, clean: Tensor, noisy: Tensor,
                     token: str | None = None) -> list[tuple[str, float]]:
    """Cosine similarity of what each layer makes of clean and of noisy images.

    Args:
        encoder: any of the suite's encoders; its stem, blocks and output are the layers.
        clean, noisy: the same images, N x C x H x W in [-1, 1].
        token: None compares all outputs of a layer; for a ViT "class" its class token, "mean" the
            mean of its patch tokens, up to and with the final norm. A ValueError for others.

    Returns:
        (layer, cosine similarity averaged over images), in order.
    """
    layers = named_layers(encoder, token)
    device = next(encoder.parameters()).device
    with outputs_of(layers) as seen, evaluating(encoder):
        features = [encoder(images.to(device)) for images in (clean, noisy)]
    pick = TOKENS[token] if token else lambda states: states
    pairs = {"pixels": (clean, noisy)}
    pairs |= {name: [pick(states) for states in seen[name]] for name in layers}
    if token is None:
        pairs["features"] = features
    return [(name, F.cosine_similarity(a.flatten(1).float(), b.flatten(1).float()).mean().item())
            for name, (a, b) in pairs.items()]


@contextmanager
def outputs_of(layers: dict[str, nn.Module]) -> Iterator[dict[str, list[Tensor]]]:
    """Inside, every output of the layers is kept: name -> one tensor a forward pass."""
    seen: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str) -> Callable[[nn.Module, tuple, Tensor], None]:
        return lambda module, inputs, output: seen[name].append(output)

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def named_layers(encoder: nn.Module, token: str | None = None) -> dict[str, nn.Module]:
    """What comes before the blocks, then the blocks; with a `token` a ViT's final norm, too. A
    ViT's "embedding" is what its first block reads, with the positions."""
    backbone = getattr(encoder, "backbone", encoder)
    is_vit = hasattr(backbone, "positions")
    if token is not None and (token not in TOKENS or not is_vit):
        raise ValueError(
            f"token {token!r}: only a ViT has tokens, choose {' or '.join(TOKENS)}, or None")
    if is_vit:
        first, blocks = {"embedding": backbone.dropout}, backbone.blocks
    elif hasattr(backbone, "stem"):
        first, blocks = {"stem": backbone.stem}, backbone.blocks
    elif hasattr(backbone, "features"):  # torchvision's MobileNet
        first, blocks = {"stem": backbone.features[0]}, backbone.features[1:]
    else:  # torchvision's ResNet
        first = {"stem": backbone.maxpool}
        blocks = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    layers = first | {f"block {number}": block for number, block in enumerate(blocks, start=1)}
    return layers | ({"final norm": backbone.norm} if token else {})

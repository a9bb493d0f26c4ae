"""Images to features: a frozen encoder's, those of a ViT's last blocks, and the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.compute import memory_kept, threads_for
from helpers.common.errors import UserError
from helpers.models.encoder import Encoder
from helpers.models.vit import ViT
from helpers.transforms.views import normalise

CPU_PIXELS = 1 << 16  # in a forward pass on a CPU
MOST = 512  # images in a forward pass
MANY = 8  # passes from which on freed memory is kept
MOST_NUMBERS, PIXEL_SIDE = 1024, 16  # of an image that is features as it is; of one averaged


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Eval mode inside; every module gets its own mode back afterwards."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """`model` in `eval_mode`, without gradients.

    What it gives can be trained on, which tensors of `torch.inference_mode` cannot.
    """
    with eval_mode(model), torch.no_grad():
        yield model


def half_on_gpu(device: torch.device) -> AbstractContextManager:
    """Inside, a GPU multiplies in fp16; a CPU in fp32 as ever."""
    return torch.autocast("cuda", torch.float16) if device.type == "cuda" else nullcontext()


def batched(function: Callable[[Tensor], Tensor], images: Tensor, batch_size: int = 512) -> Tensor:
    """`function` of N images, a batch at a time; the results joined on the CPU as float32."""
    joined = None
    many = len(images) > MANY * batch_size  # or it would cost more than it saves
    with memory_kept("cpu") if many else nullcontext():
        for start in range(0, max(1, len(images)), batch_size):
            part = function(images[start:start + batch_size])
            if joined is None:  # results that are kept one by one would tear memory to pieces
                joined = part.new_empty((len(images), *part.shape[1:]), dtype=torch.float32,
                                        device="cpu")
            joined[start:start + batch_size] = part
    return joined


def batch_for(images: Tensor, device: torch.device) -> int:
    """Images in a forward pass: on a CPU so few that they fit its caches."""
    if device.type != "cpu":
        return MOST
    return max(16, min(MOST, CPU_PIXELS // max(1, images.shape[2:].numel())))


def outputs(network: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """What a network gives for `images`, in eval mode; on a GPU in half precision.

    There products are rounded to fp16 (11 bits). Even bf16 (8 bits), on a CPU, leaves accuracies of
    the released encoder on Imagenette at 48 pixels (1,982 test images) as they are to 0.1 points:
    kNN with k = 20 70.28 % for 70.33 in fp32, with k = 1 64.03 for 63.93, a linear probe 74.57 for
    74.57; with k = 200 it is 67.15 for 67.31. On digits both stay the same to 0.1 points.

    Args:
        network: maps B x C x H x W in [-1, 1] to B x D.
        images: uint8 N x C x H x W, or float in normalised units (noisy ones).
        batch_size: images in a forward pass; by default what suits them and the device.

    Returns:
        float32 N x D on the CPU.
    """
    device = next(network.parameters()).device
    with evaluating(network), threads_for(images), half_on_gpu(device):
        return batched(lambda batch: network(normalise(batch.to(device))), images,
                       batch_size or batch_for(images, device))


predict_logits = outputs  # of a classifier: N x C x H x W to N x classes


def extract_features(encoder: nn.Module, images: Tensor, batch_size: int | None = None) -> Tensor:
    """Representations of `images`: the `outputs` of an encoder, all of them finite.

    Raises:
        UserError: NaN or infinite numbers are among them, of which no measure means anything.
    """
    features = outputs(encoder, images, batch_size)
    require_finite(features)
    return features


def require_finite(features: Tensor) -> None:
    """A UserError where features are NaN or infinite."""
    if not features.isfinite().all():
        raise UserError("the features hold NaN or infinite numbers: the encoder's training went "
                        "wrong, or it needs more than half precision: train again, use other "
                        "weights or another device")


def is_vit(encoder: Encoder) -> bool:
    """Whether the encoder has tokens."""
    return isinstance(encoder.backbone, ViT)


def last_blocks(encoder: Encoder, images: Tensor, blocks: int = 4,
                pooled: bool = False) -> Tensor:
    """The class tokens of a ViT's last `blocks` blocks, each through the final norm, side by side.

    The input of DINO's linear classifier (Caron et al. 2021, appendix F.2).

    Args:
        images: uint8 N x C x S x S, or float in normalised units.
        pooled: also the mean of the last block's patch tokens.

    Returns:
        float32 N x (blocks * D), or N x ((blocks + 1) * D), on the CPU.
    """
    vit, device = encoder.backbone, next(encoder.parameters()).device

    def tokens(batch: Tensor) -> Tensor:
        states = vit.layers(encoder.prepare(normalise(batch.to(device))))[1:-1]  # after each block
        last = [vit.norm(state) for state in states[-blocks:]]  # each B x T x D
        mean = [last[-1][:, 1:].mean(1)] if pooled else []
        return torch.cat([state[:, 0] for state in last] + mean, dim=1)

    with evaluating(encoder), half_on_gpu(device):
        features = batched(tokens, images, batch_for(images, device))
    require_finite(features)
    return features


def pixel_features(images: Tensor) -> Tensor:
    """The pixels themselves as features, the baseline that costs nothing.

    Images of more than `MOST_NUMBERS` numbers are averaged down to `PIXEL_SIDE` pixels a side: a
    linear probe on tens of thousands would take hours and do worse.

    Args:
        images: uint8 N x C x H x W, or float in normalised units (noisy ones).

    Returns:
        float32 N x D in normalised units, on the CPU.
    """
    def shrink(x: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(x, PIXEL_SIDE) if x[0].numel() > MOST_NUMBERS else x

    return batched(lambda part: shrink(normalise(part)).flatten(1), images)

"""Closing words of the notebook that trains with labels alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from helpers.common.markup import escaped
from helpers.report import stats

if TYPE_CHECKING:
    from torch import Tensor


def heads_against_pixels(predictions: Mapping[str, Tensor], labels: Tensor, chosen: str,
                         images: int) -> str:
    """Notebook 01: the networks, one against the other and against pixels.

    Args:
        predictions: classes of the test images, N each: of the networks, and of classifiers of
            "raw pixels".
        labels: the true ones, N.
        chosen: the network that validation prefers.
        images: how many labelled images there were to learn from.
    """
    accuracy = {name: (found == labels).float().mean().item()
                for name, found in predictions.items()}
    networks = [name for name in predictions if not name.startswith("raw pixels")]
    pixels = {name: value for name, value in accuracy.items() if name not in networks}
    first, second = networks
    heads = stats.same_images(predictions[first], predictions[second], labels)
    best = max(pixels, key=pixels.get)
    gain = stats.same_images(predictions[chosen], predictions[best], labels)
    cheap = " and ".join(f"**{value:.1%}** ({escaped(name)})" for name, value in pixels.items())
    return f"""With all {images:,} labels, {escaped(first)} reaches **{accuracy[first]:.1%}** on the
test images and {escaped(second)} **{accuracy[second]:.1%}**: {heads.in_points}. Validation
preferred *{escaped(chosen)}*.

Without any network, classifiers of the pixels reach {cheap}. Against the better of the two,
*{escaped(best)}*, {escaped(chosen)} is at {gain.in_points}.

This is **one** training run each, and an interval speaks of these runs and test images alone; what
another seed would change is measured in notebook 04."""

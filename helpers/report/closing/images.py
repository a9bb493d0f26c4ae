"""Closing words of the notebooks on maps of images and on a folder of images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from helpers.common.markup import escaped
from helpers.report.stats import Comparison

PIXELS = "raw pixels"


def maps(numbers: Mapping[str, Mapping[str, float]], origin: str, noise: Comparison, sigma: float,
         images: int) -> str:
    """Notebook 06: what noise does to the neighbourhoods of two encoders.

    Args:
        numbers: encoder ("noise-BYOL" and `origin`) -> shares: neighbours of the same class among
            `clean` and among `noisy` images, and noisy images `crossing` to a clean one of theirs.
        noise: noise-BYOL less `origin`, on the same images.
        sigma: of the noise.
        images: how many were drawn.
    """
    own, plain, robust = escaped(origin), numbers[origin], numbers["noise-BYOL"]
    return f"""Of a clean image's ten nearest neighbours, {plain['clean']:.1%} share its class under
{own} and {robust['clean']:.1%} under noise-BYOL. Noise of sigma {sigma:g} brings the agreement
among noisy images to {plain['noisy']:.1%} and {robust['noisy']:.1%}. The nearest *clean* image to
a noisy one has its class in **{plain['crossing']:.1%}** ({own}) and
**{robust['crossing']:.1%}** (noise-BYOL) of cases: noise in training changes it by
{noise.in_points}. That is {images} images and one training run of each encoder; notebook 07 turns
it into accuracies over the whole range of noise."""


def own_images(worth: Mapping[str, Mapping[str, float]], protocols: Sequence[str],
               precision: Mapping[str, float], found: Mapping[str, Mapping[str, float]],
               count: int, refound: Mapping[str, Mapping[str, float]]) -> str:
    """Notebook 08: what DINO's features are worth, and where pixels do better.

    Args:
        worth: method -> protocol -> accuracy.
        protocols: the kNN and the linear protocol to speak of.
        precision: method -> mean average precision.
        found: "outliers, METHOD" and "flipped labels, METHOD" -> recall and average precision of
            the trial; empty without injected faults.
        count: outliers, and flipped labels, that were injected.
        refound: "DINO" and "raw pixels" -> kind of copy -> share whose original is found.
    """
    neighbours, linear = ({name: values[key] for name, values in worth.items()}
                          for key in protocols)
    best = escaped(max(neighbours, key=neighbours.get))
    return f"""Without any label in its training, DINO's features classify {neighbours['DINO']:.1%}
of the test images correctly by their {protocols[0].split()[-1]} nearest neighbours; before the
training it was {neighbours['random encoder']:.1%}, with raw pixels {neighbours[PIXELS]:.1%},
so the highest here is **{best}**. A linear classifier reaches {linear['DINO']:.1%} on DINO's
features and {linear[PIXELS]:.1%} on pixels. As a ranking of the training images, they have a
mean average precision of {precision['DINO']:.1%} (pixels: {precision[PIXELS]:.1%}).

{_copies(refound)} {_faults(found, count)} One training run, one seed."""


def _copies(refound: Mapping[str, Mapping[str, float]]) -> str:
    """Which kinds of copies pixels find more often than DINO does."""
    kinds = refound["DINO"]
    lost = [kind for kind in kinds if refound[PIXELS][kind] > kinds[kind]]
    named = f" ({', '.join(lost)})" if lost else ""
    return f"Raw pixels find more copies than DINO in {len(lost)} of {len(kinds)} kinds{named}."


def _faults(found: Mapping[str, Mapping[str, float]], count: int) -> str:
    """How many of the injected faults are among the most suspicious images."""
    if not found:
        return ("No faults were injected, so how many of the listed ones are real is for you to "
                "see.")
    told = []
    for kind in ("outliers", "flipped labels"):
        ours, pixels = (found[f"{kind}, {name}"]["recall"] for name in ("DINO", PIXELS))
        ahead = " **Pixels do better here.**" if pixels > ours else ""
        told.append(f"Of {count} injected {kind}, {ours:.1%} are among the {count} most suspicious "
                    f"by DINO's features, {pixels:.1%} by pixels.{ahead}")
    return f"{' '.join(told)} The injected outliers are easy ones, and real ones can hide better."

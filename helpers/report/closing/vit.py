"""Closing words of the notebooks on vision transformers: 05, 13 and 14."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from helpers.common.markup import escaped
from helpers.report import stats

SHUFFLED = "shuffled labels"


def missed_by_overfitting(missed: Collection[str], steps: Mapping[str, int],
                          held_out: Mapping[str, float]) -> str:
    """Notebook 13: which injected faults one overfitted batch does not show.

    Args:
        missed: the faults that passed the check.
        steps: network ("healthy" or a fault) -> steps until the batch was memorised.
        held_out: network -> accuracy on held-out images after a short training.
    """
    faults = len(steps) - 1
    if not missed:
        return (f"By itself it misses none of the {faults} faults, within "
                f"{max(steps.values())} steps.")
    listed = ", ".join(f"{name} ({steps[name]} steps)" for name in missed)
    said = [f"By itself it misses {len(missed)} of the {faults} faults: {listed}. The healthy "
            f"network needed {steps['healthy']} steps for the same images."]
    if SHUFFLED in missed:
        said.append("Shuffled labels are the plainest case: nonsense can be memorised as well, and "
                    "only held-out images tell the difference.")
    unharmed = [name for name in missed if held_out[name] >= held_out["healthy"]]
    if unharmed:
        said.append("After the short training, accuracy on held-out images does not give all of "
                    "them away either: no worse than the healthy network did "
                    f"{', '.join(unharmed)}. On an easy task a wrong network can look right.")
    return " ".join(said)


def vit_from_scratch(parameters: int, difference: float, start: Any, overfit: Any,
                     scores: Mapping[str, float], against: Mapping[str, stats.Comparison],
                     steps: int, images: int) -> str:
    """Notebook 05: is it the paper's ViT, does it learn, and what beats it.

    Args:
        parameters: of ViT-B/16.
        difference: the largest between torchvision's outputs and ours.
        start: the untrained network's `loss` and the `expected` one.
        overfit: whether one batch was `reached`, after so many `steps`.
        scores: method -> test accuracy; "ViT" among them.
        against: the others -> the ViT's gain over each, on the same test images.
        steps, images: of the trainings.
    """
    ahead = sorted((name for name in against if scores[name] > scores["ViT"]), key=scores.get)
    lost = ("Nothing that stands beside it is better here." if not ahead else
            f"Better were {', '.join(f'{name} ({scores[name]:.1%})' for name in ahead[::-1])}.")
    gains = "; ".join(f"{name} {difference.in_points}" for name, difference in against.items())
    memorised = "memorised" if overfit.reached else "not memorised"
    return f"""The ViT is the paper's: {parameters:,} parameters as ViT-B/16, and torchvision's
outputs to {difference:.0e}. Untrained, its loss is {start.loss:.2f} where even guessing has
{start.expected:.2f}; 64 images were {memorised} in {overfit.steps} steps.

Trained for {steps} steps on {images:,} images, it classifies **{scores['ViT']:.1%}** of the test
images correctly. {lost} The ViT less each of the others: {gains}. One training of each network from
one seed: the intervals are over images, not over trainings."""


def ways_of_training(ways: Mapping[str, Mapping[str, Any]], origin: str) -> str:
    """Notebook 05: from scratch, from pretrained weights, and the last block alone.

    Args:
        ways: name -> what `helpers.training.vit_starts.three_ways` gives, in its order.
        origin: where the pretrained weights learned.
    """
    scratch, whole, last = ways.values()
    gain, frozen = (stats.paired(way["scores"], scratch["scores"]) for way in (whole, last))
    return f"""Pretrained weights change the accuracy by **{gain.in_points}**, from
{scratch['mean']:.1%} to {whole['mean']:.1%} on the same {scratch['n']} label subsets. Training the
last block and the head alone changes {last['parameters']:,} numbers in place of
{whole['parameters']:,}, takes {last['seconds'] / whole['seconds']:.0%} of the time and reaches
{last['mean']:.1%}: with the frozen blocks that learned from {escaped(origin)}, the difference to
training from scratch is {frozen.in_points}."""


def check_up(caught: Mapping[str, Collection[str]], missed: Collection[str], rate: float,
             ratios: Mapping[str, float], held_out: Mapping[str, float]) -> str:
    """Notebook 13: how many faults the checks caught, and what the cheapest of them misses.

    Args:
        caught: "healthy" and each fault -> the checks that were alarmed.
        missed: the faults that overfitting one batch does not show.
        rate: the learning rate that memorised fastest.
        ratios: weight matrix -> early update over weight.
        held_out: network -> accuracy on held-out images after a short training.
    """
    faults = [name for name in caught if name != "healthy"]
    alarms = sum(bool(caught[name]) for name in faults)
    silent = [name for name in faults if not caught[name]]
    unseen = f" Nothing was alarmed by {', '.join(silent)}." if silent else ""
    return f"""The check-up caught **{alarms} of {len(faults)}** injected faults, with
{len(caught['healthy'])} false alarms on the healthy network.{unseen} Overfitting one batch alone
would have missed {len(missed)} of them, and a short training is no judge either: the healthy
network has {held_out['healthy']:.1%} on held-out images, the best of the broken ones
{max(held_out[name] for name in faults):.1%}. A rate of {rate:g} memorised fastest; an early update
changes a weight matrix by {min(ratios.values()):.1%} to {max(ratios.values()):.1%} at a third of
it. The limits were set with these very faults at hand, on one network and one dataset."""


def attention(used: Mapping[str, float], covered: Mapping[str, Sequence[float]],
              counts: Sequence[int], place: int, patches: int) -> str:
    """Notebook 14: how concentrated the maps are, and whether their patches matter.

    Args:
        used: kind of map -> patches used, the exponential of the entropy.
        covered: ranking -> accuracy with each of `counts` patches covered; "random" among them.
        counts: patches covered, 0 first.
        place: which of them to speak of.
        patches: of an image.
    """
    spread = ", ".join(f"{value:.1f} in the {kind}" for kind, value in used.items())
    now = {name: values[place] for name, values in covered.items()}
    harm = sorted(now, key=now.get)
    told = ", ".join(f"{name} {now[name]:.1%}" for name in harm)
    beaten = [name for name in now if name != "random" and now[name] >= now["random"]]
    lost = (f" No worse than at random: {', '.join(beaten)}." if beaten else "")
    return f"""Of {patches} patches, {spread} are used as if evenly. With {counts[place]} of them
covered, accuracy falls from {covered['random'][0]:.1%} to: {told}. The map that names best what the
prediction rests on is therefore **{harm[0]}**.{lost} One network, one training: where attention is
fetched from and what the prediction needs are two questions, and a picture answers the first."""

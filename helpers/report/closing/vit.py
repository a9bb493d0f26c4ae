"""Words for the notebook on vision transformers: what overfitting one batch alone would miss."""

from __future__ import annotations

from collections.abc import Collection, Mapping

SHUFFLED = "shuffled labels"


def missed_by_overfitting(missed: Collection[str], steps: Mapping[str, int],
                          held_out: Mapping[str, float]) -> str:
    """Notebook 05: which injected faults one overfitted batch does not show.

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

"""Which released weights stand for a run that nobody has made here."""

from __future__ import annotations

from helpers.common.names import DATASETS
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import facts
from helpers.training.runs import Run

# weights that know photographs, by the name of a run
PHOTOGRAPHS = {"byol": "byol-slim-imagenette", "noise-byol": "noise-byol-slim-imagenette"}
# and those that see larger ones better
FINE = {"byol": "byol-fine-imagenette"}
# pixels, of the images that they are taken for: from the side of their views up
KNOWN_SIDES, FINE_SIDES = (32, 64), (65, 160)


def released_name(run: Run, channels: int, side: int, photographs: bool = True) -> str:
    """The released weights that exactly this run has made, else those for photographs; "" for none.

    Args:
        channels, side: of the images, the side in pixels.
        photographs: whether those for photographs will do.
    """
    if run.settings.dataset in DATASETS:  # a folder of images may bear any name
        for name, entry in registry.entries().items():
            path = registry.kept(entry)
            if path and facts(path).get("run") == run.mark:
                return name
    if not photographs or channels != 3:
        return ""
    for names, (low, high) in ((PHOTOGRAPHS, KNOWN_SIDES), (FINE, FINE_SIDES)):
        if low <= side <= high:
            return names.get(run.name, "")
    return ""

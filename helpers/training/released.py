"""Which released weights stand for a run that nobody has made here."""

from __future__ import annotations

from helpers.common.names import DATASETS
from helpers.models.weights import registry
from helpers.models.weights.checkpoint import facts
from helpers.training.runs import Run

# weights that know photographs, by the name of a run
PHOTOGRAPHS = {"byol": "byol-slim-imagenette", "noise-byol": "noise-byol-slim-imagenette"}
# and those that see larger ones better
FINE = {"byol": "byol-fine-imagenette", "noise-byol": "noise-byol-joined-imagenette"}
# another method's, from the same images; on a GPU one that takes four times the operations
BETTER = {"byol-fine-imagenette": "dino-joined-imagenette"}
BETTER_ON_GPU = {"byol-fine-imagenette": "dino-resnet18-imagenette"}
FOR_FOLDERS = BETTER[FINE["byol"]]  # where nobody has looked yet how large the images are
# pixels, of the images that they are taken for: from the side of their views up
KNOWN_SIDES, FINE_SIDES = (32, 64), (65, 160)


def released_name(run: Run, channels: int, side: int, photographs: bool = True,
                  any_method: bool = False) -> str:
    """The released weights that exactly this run has made, else those for photographs; "" for none.

    Args:
        channels, side: of the images, the side in pixels.
        photographs: whether those for photographs will do.
        any_method: whether better ones by another method will do, too.
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
            name = names.get(run.name, "")
            better = BETTER if run.settings.device == "cpu" else BETTER_ON_GPU
            return better.get(name, name) if any_method else name
    return ""

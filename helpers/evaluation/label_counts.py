"""How many labels per class there can be, and what naming the largest class is worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

ALL = 0  # labels per class: all there are


def usable_counts(counts: Iterable[int], labels: Tensor,
                  classes: Sequence[str] = ()) -> tuple[list[int], list[str]]:
    """Those numbers of labels per class that some class has, in the order given.

    Args:
        counts: labels per class, 0 for all.
        labels: N class numbers of the training images.
        classes: their names; without them they have numbers.

    Returns:
        The counts, at least one, and what to tell: a line on counts that no class has and are left
        out, and one for each count that some classes do not reach.
    """
    sizes = labels.bincount(minlength=len(classes)).tolist()
    names = classes or [f"class {number}" for number in range(len(sizes))]
    given, most = list(dict.fromkeys(counts)), max(sizes)
    used = [count for count in given if count < most or count == ALL] or [ALL]
    dropped, notes = [count for count in given if count not in used], []
    if dropped:
        notes.append(f"left out: {', '.join(map(str, dropped))} labels per class; the largest "
                     f"class has {most} training images, and those are \"all\"")
    for count in used:
        fewer = [f"{name} {size}" for name, size in zip(names, sizes, strict=True)
                 if 0 < size < count]
        if fewer:
            notes.append(f"with {count} labels per class, these have fewer and give all: "
                         + ", ".join(fewer))
    return used, notes


def majority_share(labels: Tensor) -> float:
    """The share of the largest class: the accuracy of naming it for every image."""
    return float(labels.bincount().max() / len(labels))

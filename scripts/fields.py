"""One line of explanation for each setting of a notebook, and the rare ones apart.

Colab shows such a line above its form field; in Jupyter it is a comment. `python -m scripts.fold`
writes them.
"""

from __future__ import annotations

import re

SPLIT = "{} images of a folder: a share such as 20%, a number of each class, or auto"
EXPLAINED = {  # of one notebook alone where its number comes first
    "PRESET": "how much to compute: smoke (does it run?), quick (minutes on a CPU), gpu, full",
    "DATASET": "a name, or a folder or zip with train/<class>/; auto: digits, on a GPU Imagenette",
    "SEED": "the seed of splits, weights and label subsets",
    "WEIGHTS": "the pretrained encoder; ask shows the list, a name or a file answers as well",
    "12.WEIGHTS": "what looks at PHOTOS; auto: the best of the list that takes minutes here",
    "BACKBONE": "start from ImageNet's weights? ask asks you, a name or a file answers as well",
    "RESUME": "go on where an interrupted run stopped",
    "RUN_DIR": "the folder of trainings and encoders; auto: runs/ of the repository",
    "SAVE_TO_DRIVE": "on Colab: keep trainings on your Drive, where later notebooks find them",
    "ENCODER": "the network; auto: that of the preset",
    "IMAGE_SIZE": "side of the images in pixels; auto: that of the preset",
    "BATCH_SIZE": "images a step; auto: that of the preset",
    "PRECISION": "mixed precision of trainings; auto: by machine and size of the images",
    "STOP_ON_COLLAPSE": "end a training whose features collapse",
    "DEVICES": "how many GPUs, or processes on a CPU, share the training",
    "SHOW_TENSORBOARD": "show the curves in TensorBoard, too",
    "DRAWS": "label subsets, random choices of the few labelled images",
    "START": "where the weights come from: other classes, imagenet, or a listed ViT's name",
    "FEW": "labels per class of the three ways",
    "06.SIGMA": "the noise of noisy images, which are in [-1, 1]",
    "11.SIGMA": "the noise on the images that judge a trial",
    "POINTS": "images on a map",
    "SHOW_SIGMA": "the noise of the images that are shown, which are in [-1, 1]",
    "SECOND_SIGMA": "the constant noise that a second noise-BYOL trains with",
    "TRAINING_SEEDS": "above 1, everything is trained again from other seeds: bands, and time",
    "CLASSES": "all, or those to keep, such as cat, dog",
    "TRAIN": SPLIT.format("training"),
    "VAL": SPLIT.format("validation"),
    "TEST": SPLIT.format("test"),
    "INJECTED": "share of faults put in on trial; auto: 2% of a named dataset, none of a folder",
    "WORST": "how many suspicious images are shown",
    "COUNTS": "labels per class of the linear classifiers",
    "TRAIN_COUNTS": "labels per class of whole networks; auto: those of the preset",
    "MODELS": "networks from scratch, by name; auto: those of the preset; all: five kinds",
    "RESULTS_DIR": "where the other notebooks wrote their numbers; auto: results/",
    "TRIALS": "trials that the study has in the end; 0: as many as the preset says",
    "STEPS": "steps of one training; 0: a tenth of those of notebook 02",
    "PHOTOS": "a folder of your own images; empty: the dataset, to try it out",
    "NAMES": "your classes, such as cat, dog",
    "STRATEGY": "how the next images are chosen",
    "PER_ROUND": "images that a round asks about",
}
RARE = ("ENCODER", "IMAGE_SIZE", "BATCH_SIZE", "PRECISION", "CLASSES", "TRAIN", "VAL", "TEST",
        "INJECTED", "TRAIN_COUNTS", "MODELS", "RUN_DIR", "STOP_ON_COLLAPSE", "DEVICES",
        "SHOW_TENSORBOARD")
FIELD = re.compile(r"(\w+) = .*# @param")
MARKDOWN = "# @markdown "
APART = f"{MARKDOWN}---\n{MARKDOWN}Rarely changed:"


def explained(source: str, number: str) -> str:
    """A cell of settings with a line above each, those of `RARE` last; done twice, as once.

    Args:
        source: lines such as `SEED = 0  # @param {type: "integer"}`.
        number: of the notebook, such as "03".

    Raises:
        KeyError: nothing explains a setting.
    """
    fields = {match[1]: line for line in source.splitlines() if (match := FIELD.match(line))}
    usual, rare = ([name for name in fields if (name in RARE) is where] for where in (False, True))
    lines = [line for name in usual for line in _pair(name, fields[name], number)]
    if rare:
        lines += [APART, *(line for name in rare for line in _pair(name, fields[name], number))]
    return "\n".join(lines)


def _pair(name: str, line: str, number: str) -> tuple[str, str]:
    """A setting's explanation, and the setting."""
    said = EXPLAINED.get(f"{number}.{name}") or EXPLAINED[name]
    return f"{MARKDOWN}{said[0].upper()}{said[1:]}", line

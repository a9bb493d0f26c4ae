"""Draw the diagrams in `images/`: BYOL, noise-BYOL, DINO and the way through the notebooks.

    python -m scripts.diagrams             write them
    python -m scripts.diagrams --check     exit status 1 if a file is not what this module draws

The same matplotlib draws the same file to the byte.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from collections.abc import Callable

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from helpers.common.environment import ROOT
from helpers.common.files import write_atomically
from helpers.report.plots.style import GRAY, STYLE, WRONG, darker, method_color
from scripts.sheet import SIZE, SMALL, Box, Sheet

FOLDER = ROOT / "images"
# what learns has its method's colour, what follows slowly is gray
ONLINE, TARGET = method_color("BYOL"), GRAY
NOISE, STUDENT = method_color("noise-BYOL"), method_color("DINO")
LABELS = method_color("supervised")  # where labels come in
LOSS = "#333333"
SAVE = {"svg.fonttype": "path", "svg.hashsalt": "few-labels", "font.family": "DejaVu Sans"}


def byol() -> Figure:
    """BYOL's two branches (Grill et al. 2020, figure 2)."""
    sheet = Sheet(9, 3.65, "BYOL: predict what a slow copy of yourself says of another view")
    high, low, columns = 2.5, 1.1, (3.1, 4.65, 6.2)
    image = sheet.image(0.6, (high + low) / 2)
    views = [
        sheet.image(1.75, high, turn=14, zoom=0.9),
        sheet.image(1.75, low, turn=-12, shift=(0.1, 0.05))
    ]
    for view, name in zip(views, ("view $v$", "view $v'$"), strict=True):
        sheet.arrow(image.right, view.left)
        sheet.words(view.x, view.y - 0.45, name)
    online = [sheet.box(x, high, name, ONLINE) for x, name in
              zip(columns, ("encoder\n$f_θ$", "projector\n$g_θ$", "predictor\n$q_θ$"), strict=True)]
    target = [sheet.box(x, low, name, TARGET, dashed=True) for x, name in
              zip(columns, ("encoder\n$f_ξ$", "projector\n$g_ξ$"), strict=False)]
    sheet.line([views[0], *online], ONLINE)
    sheet.line([views[1], *target], TARGET)
    for fast, slow in zip(online, target, strict=False):
        sheet.arrow(fast.bottom, slow.top, TARGET, dashed=True)
    sheet.words(3.88, 1.92, "moving average", darker(TARGET))
    sheet.words(3.88, 1.68, "$ξ ← τ\\,ξ + (1-τ)\\,θ$", darker(TARGET))
    loss = sheet.box(8.1, (high + low) / 2, "loss: do\nthey agree?", LOSS, width=1.2)
    sheet.arrow(online[-1].right, loss.top, ONLINE, corner=True)
    sheet.arrow(target[-1].right, loss.bottom, TARGET, corner=True)
    sheet.words(7.45, high + 0.16, "prediction", darker(ONLINE))
    sheet.words(7.45, low - 0.17, "answer", darker(TARGET))
    sheet.stop(6.2, low)
    sheet.words(6.2, low + 0.26, "no gradient", WRONG)
    sheet.words(columns[0] - 0.52, high + 0.43, "online network: learns", darker(ONLINE), ha="left",
                weight="bold")
    sheet.words(columns[0] - 0.52, low - 0.43, "target network: follows", darker(TARGET), ha="left",
                weight="bold")
    sheet.note("Then the views change places. Kept in the end: the online encoder.")
    return sheet.figure


def noise_byol() -> Figure:
    """Noise-BYOL, the linear classifier on clean features, and how it is read under noise."""
    sheet = Sheet(9, 5.2, "Noise-BYOL: a classifier trained on clean images only, read under noise")
    rows, columns = (4.15, 3.2, 1.9, 0.8), (4.1, 5.85)
    for y, number, text in ((3.68, "1", "pretrain,\nno labels"),
                            (1.9, "2", "train the classifier\nwith labels"),
                            (0.8, "3", "read it\nunder noise")):
        sheet.words(0.25, y, number, size=18, weight="bold", ha="left")
        sheet.words(0.58, y, text, size=SIZE, ha="left", linespacing=1.3)
    images = [
        sheet.image(2.65, rows[0], turn=-12, noise=0.6),
        sheet.image(2.65, rows[1], turn=14, zoom=0.9),
        sheet.image(2.65, rows[2]),
        sheet.image(2.65, rows[3], noise=0.6)
    ]
    for image, name in zip(images, ("noisy view", "view", "clean image", "noisy image"),
                           strict=True):
        sheet.words(image.x, image.y - 0.43, name)
    target = [sheet.box(columns[0], rows[0], "target encoder", TARGET, 1.5, dashed=True),
              sheet.box(columns[1], rows[0], "projector", TARGET, 1.3, dashed=True)]
    online = [sheet.box(columns[0], rows[1], "online encoder", NOISE, 1.5),
              sheet.box(columns[1], rows[1], "projector,\npredictor", NOISE, 1.3)]
    loss = sheet.box(7.9, 3.68, "loss: do\nthey agree?", LOSS, 1.2)
    sheet.line([images[0], *target], TARGET)
    sheet.line([images[1], *online], NOISE)
    sheet.arrow(target[1].right, loss.top, TARGET, corner=True)
    sheet.arrow(online[1].right, loss.bottom, NOISE, corner=True)
    sheet.stop(7.1, rows[0])
    sheet.words(7.1, rows[0] + 0.24, "no gradient", WRONG)
    sheet.arrow(online[0].top, target[0].bottom, TARGET, dashed=True)
    sheet.words(columns[0] + 0.12, 3.68, "moving average", darker(TARGET), ha="left")
    trained = _reading(sheet, images[2], columns, rows[2], "linear classifier", False)
    read = _reading(sheet, images[3], columns, rows[3], "the same classifier", True)
    sheet.arrow(online[0].bottom, trained[0].top, NOISE, dashed=True)
    sheet.words(columns[0] + 0.12, 2.55, "kept; its heads are thrown away", darker(NOISE),
                ha="left")
    for before, after, color in zip(trained, read, (NOISE, LABELS), strict=True):
        sheet.arrow(before.bottom, after.top, color, dashed=True)
    sheet.words(8.05, rows[2], "label: \"five\"", darker(LABELS), SIZE)
    sheet.arrow((7.5, rows[2]), trained[1].right, LABELS)
    sheet.words(8.05, rows[3], "still \"five\"?", size=SIZE, weight="bold")
    sheet.arrow(read[1].right, (7.5, rows[3]), LABELS)
    sheet.note("Each view is also given to the other network. Dashed boxes do not learn.")
    return sheet.figure


def _reading(sheet: Sheet, image: Box, columns: tuple[float, float], y: float, name: str,
             fixed: bool) -> tuple[Box, Box]:
    """An image through the frozen encoder into a classifier that learns, or is `fixed` as well."""
    encoder = sheet.box(columns[0], y, "encoder, frozen", NOISE, 1.5, dashed=True)
    classifier = sheet.box(columns[1] + 0.15, y, name, LABELS, 1.65, dashed=fixed)
    sheet.line([image, encoder], NOISE)
    sheet.arrow(encoder.right, classifier.left, LABELS)
    return encoder, classifier


def dino() -> Figure:
    """DINO's crops, student, teacher and centering (Caron et al. 2021, figure 2)."""
    sheet = Sheet(9, 4.0, "DINO: from a part, give the answer that the teacher gives for the whole")
    high, low, columns = 2.95, 1.3, (3.85, 4.98, 6.11, 7.24)
    image = sheet.image(0.55, (high + low) / 2)
    parts = [
        sheet.image(x, high, 0.4, zoom=1.7, shift=shift, turn=turn, edge=STUDENT)
        for x, shift, turn in ((1.65, (0.3, -0.35), 0), (2.13, (-0.25, 0.4), 10),
                               (2.61, (-0.35, -0.3), -8))
    ]
    whole = [sheet.image(2.05, low + 0.36, turn=10, zoom=0.9),
             sheet.image(2.05, low - 0.36, turn=-12, shift=(0.06, 0.04))]
    sheet.words(2.13, high + 0.36, "parts")
    sheet.words(2.05, low - 0.8, "two whole views")
    student = [sheet.box(x, high, name, STUDENT, 0.9) for x, name in
               zip(columns, ("student\nencoder", "head"), strict=False)]
    student.append(sheet.box(columns[3], high, "softmax", STUDENT, 0.9))
    teacher = [
        sheet.box(x, low, name, TARGET, 0.9, dashed=True)
        for x, name in zip(columns, ("teacher\nencoder", "head", "centering",
                                     "sharp\nsoftmax"), strict=True)
    ]
    sheet.arrow(image.right, parts[0].left)
    sheet.line([parts[-1], *student], STUDENT)
    sheet.line(teacher, TARGET)
    for view, lower in zip(whole, (0.0, 0.12), strict=True):
        sheet.arrow(image.right, view.left)
        sheet.arrow(view.right, (teacher[0].left[0], low + 0.06 - lower), TARGET)
        sheet.arrow(view.right, (student[0].left[0], high - 0.1 - lower), STUDENT)
    for fast, slow in zip(student[:2], teacher, strict=False):
        sheet.arrow(fast.bottom, slow.top, TARGET, dashed=True)
    sheet.words(columns[1] + 0.1, 2.13, "moving average", darker(TARGET), ha="left")
    sheet.words(columns[2], low - 0.45, "minus the mean\nanswer", darker(TARGET))
    sheet.words(columns[3], low - 0.45, "low\ntemperature", darker(TARGET))
    loss = sheet.box(8.3, (high + low) / 2, "cross-\nentropy", LOSS, 0.95)
    sheet.arrow(student[-1].right, loss.top, STUDENT, corner=True)
    sheet.arrow(teacher[-1].right, loss.bottom, TARGET, corner=True)
    sheet.stop(8.0, low)
    sheet.words(8.05, low - 0.27, "no gradient", WRONG, ha="left")
    sheet.note(
        "The student sees all views, the teacher whole ones only. Kept in the end: the teacher's "
        "encoder."
    )
    return sheet.figure


def notebooks() -> Figure:
    """The way through the notebooks, and what each gives to the next."""
    sheet = Sheet(9, 5.0, "The notebooks, and what one gives to the next")
    columns, rows = (1.45, 4.5, 7.55), (3.8, 3.05, 2.3, 1.38)
    for x, text in zip(columns,
                       ("with labels, and without", "what is the encoder worth?", "other ways"),
                       strict=True):
        sheet.words(x, 4.32, text, GRAY, SIZE)
    boxes = {number: _notebook(sheet, columns[column], y, number, *rest)
             for number, (column, y, *rest) in _contents((*rows, 0.42)).items()}
    sheet.arrow(boxes["01"].bottom, boxes["02"].top, dashed=True)
    sheet.words(columns[0] + 0.1, 3.1, "the same views", ha="left")
    for number in ("03", "04", "06", "07"):
        sheet.arrow(boxes["02"].right, boxes[number].left, ONLINE)
    bottom, corners = 0.9, (columns[0], columns[2])
    sheet.ax.plot([corners[0], *corners], [boxes["02"].bottom[1], bottom, bottom], color=ONLINE,
                  lw=1.5)
    sheet.arrow((columns[2], bottom), boxes["09"].bottom, ONLINE)
    sheet.words(columns[0] + 0.1, 1.83, "BYOL's encoder", ha="left")
    sheet.arrow(boxes["06"].bottom, boxes["07"].top, NOISE)
    sheet.words(columns[1] + 0.1, 1.83, "noise-BYOL's encoder", ha="left")
    sheet.arrow(boxes["08"].bottom, boxes["09"].top, STUDENT)
    sheet.words(columns[2] + 0.1, 1.98, "DINO's encoder", ha="left")
    numbers = sheet.box(columns[0], boxes["10"].y,
                        "results/summary.csv:\nall others add their numbers", GRAY, 2.3, 0.6,
                        size=SMALL)
    sheet.arrow(numbers.right, boxes["10"].left)
    return sheet.figure


def _contents(rows: tuple[float, ...]) -> dict[str, tuple[int, float, str, str]]:
    """Of each notebook: its column, its height on the sheet, what it is about, the method whose
    colour it has."""
    return {"01": (0, rows[0], "ResNet18 baseline:\nlabels alone", "supervised"),
            "02": (0, rows[2], "BYOL:\nno labels at all", "BYOL"),
            "03": (1, rows[0], "feature extraction:\nfrozen, few labels", "BYOL"),
            "04": (1, rows[1], "fine-tuning:\nor from scratch?", "BYOL"),
            "05": (2, rows[0], "ViT from scratch:\ndoes it learn at all?", "ViT"),
            "06": (1, rows[2], "t-SNE and UMAP:\nclean and noisy", "noise-BYOL"),
            "07": (1, rows[3], "noise robustness:\nhow much survives?", "noise-BYOL"),
            "08": (2, (rows[0] + rows[3]) / 2, "DINO on your own\nimages: outliers", "DINO"),
            "09": (2, rows[3], "label efficiency: how\nmany are enough?", "DINO"),
            "10": (1, rows[4], "results: ours and\nwhat others report", "raw pixels"),
            "11": (2, rows[4], "search: what does\nnoise-BYOL care about?", "noise-BYOL")}


def _notebook(sheet: Sheet, x: float, y: float, number: str, text: str, method: str) -> Box:
    """A notebook's number and what it is about, in the colour of its method."""
    color = method_color(method)
    box = sheet.box(x, y, "", color, 2.3, 0.6)
    sheet.words(box.left[0] + 0.14, y, number, darker(color), 14, ha="left", weight="bold")
    sheet.words(box.left[0] + 0.55, y, text, size=SMALL, ha="left", linespacing=1.3)
    return box


DIAGRAMS: dict[str, Callable[[], Figure]] = {"byol": byol, "noise_byol": noise_byol, "dino": dino,
                                             "notebooks": notebooks}


def svg(draw: Callable[[], Figure]) -> str:
    """A diagram as the text of an SVG file, without a date."""
    with plt.rc_context({**STYLE, **SAVE}):
        figure, text = draw(), io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return compact(text.getvalue())


def compact(text: str) -> str:
    """The same drawing in fewer letters: a tenth of a point is enough, and a glyph's place is said
    shortly."""
    text = re.sub(r'transform="translate\(([\d.]+) 0\)"/>', r'x="\1"/>', text)
    text = re.sub(r"\n +", "\n", text.replace("DejaVuSans-", ""))
    text = re.sub(r' (d|x)="[^"]+"', lambda place: re.sub(r"(\.\d)\d+", r"\1", place[0]), text)
    return re.sub(r'(?<= d=")[^"]+', lambda path: re.sub(r"\s*([A-Za-z])\s*", r"\1", path[0]), text)


def same(kept: str, drawn: str) -> bool:
    """Whether a kept file is what is drawn now: to the letter, or word by word where another
    matplotlib drew it."""
    if _made_by(kept) == _made_by(drawn):
        return kept == drawn
    return re.findall("<!-- (.*?) -->", kept) == re.findall("<!-- (.*?) -->", drawn)


def _made_by(text: str) -> str:
    return "".join(re.findall(r"Matplotlib v[\d.]+", text)[:1])


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m scripts.diagrams",
                                     description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true",
                        help="change nothing, name what differs, exit with 1")
    check = parser.parse_args(arguments).check
    different = []
    for name, draw in DIAGRAMS.items():
        path, drawn = FOLDER / f"{name}.svg", svg(draw)
        if not path.exists() or not same(path.read_text(encoding="utf-8"), drawn):
            different.append(path.name)
            if not check:
                write_atomically(path, drawn)
    for name in different:
        print(f"images/{name}: {'differs, run python -m scripts.diagrams' if check else 'drawn'}")
    return 1 if check and different else 0


if __name__ == "__main__":
    sys.exit(main())

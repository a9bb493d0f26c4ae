"""Folders of drawn shapes, three classes that a released encoder tells apart."""

import numpy as np
from PIL import Image, ImageDraw

CLASSES = ("circle", "square", "stripes")


def draw(kind, random):
    """One image of a class on a dark noisy ground."""
    image = Image.fromarray(random.randint(0, 90, (60, 80, 3)).astype(np.uint8))
    pen, color = ImageDraw.Draw(image), tuple(random.randint(120, 256, 3).tolist())
    x, y, side = (int(random.randint(*limits)) for limits in ((5, 40), (5, 25), (18, 30)))
    if kind == "circle":
        pen.ellipse((x, y, x + side, y + side), fill=color)
    elif kind == "square":
        pen.rectangle((x, y, x + side, y + side), fill=color)
    else:
        for place in range(x % 7, 80, 8):
            pen.line((place, 0, place, 60), fill=color, width=3)
    return image


def shapes(root, each=12, seed=0, classes=CLASSES, flat=False):
    """`root/<class>/<n>.png`, or `root/<class>_<n>.png` of a flat folder."""
    random = np.random.RandomState(seed)
    for kind in classes:
        for number in range(each):
            path = root / (f"{kind}_{number}.png" if flat else f"{kind}/{number}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            draw(kind, random).save(path)
    return root

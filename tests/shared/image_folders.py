"""Small images and folders of images, made for the tests of `helpers.data.loading`."""

from PIL import Image

SIZE = 16


def paint(path, color=(200, 30, 90), size=(20, 20), mode="RGB", **options):
    """Write one plain image and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, color).save(path, **options)
    return path


def make_folder(root, parts=("train",), classes=("ant", "bee"), each=10):
    """`root/<part>/<class>/<n>.png`, every image with its own color."""
    shade = 0
    for part in parts:
        for name in classes:
            for n in range(each):
                shade += 1
                paint(root / part / name / f"{n}.png", (shade % 256, shade // 256, len(name)))
    return root


def colors(images):
    """The colors of the upper left pixels, as a set."""
    return {tuple(image[:, 0, 0].tolist()) for image in images}


def one_line(caught):
    """Whether the message of an exception that pytest caught is one line."""
    return "\n" not in str(caught.value)

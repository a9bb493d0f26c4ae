"""The small pictures of the README: drawn for its first screen, and true."""

import pytest
from PIL import Image

from helpers.common import ROOT
from scripts import thumbnails as tool


@pytest.mark.parametrize("name", tool.DRAWN)
def test_a_thumbnail_is_small_and_has_two_pixels_for_each_of_the_page(name):
    path = ROOT / "images" / f"thumb_{name}.png"
    assert Image.open(path).width == 2 * 260 and path.stat().st_size < 100_000
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f'<img src="images/{path.name}" width="260" alt="' in page


def test_the_odd_one_of_a_folder_is_the_page_of_a_book():
    axes = tool.odd_one_out().axes
    light = [ax.images[0].get_array().mean() for ax in axes]
    framed = [index for index, ax in enumerate(axes) if ax.spines["top"].get_visible()]
    assert framed == [max(range(len(light)), key=light.__getitem__)]


def test_the_curve_shows_the_kept_numbers():
    learned, pixels = tool.label_curve().axes[0].lines
    few = tool.results()
    kept = few[few.notebook.str.startswith("03") & (few.protocol == "linear probe")
               & (few.method == "BYOL") & (few.labels_per_class == "1")]
    assert learned.get_ydata()[0] == pytest.approx(100 * kept["mean"].iloc[0])
    assert (learned.get_ydata() > pixels.get_ydata()).all()


def test_all_are_drawn_into_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tool, "DRAWN", {"labels": tool.label_curve})
    assert tool.main([str(tmp_path)]) == 0
    assert Image.open(tmp_path / "thumb_labels.png").size == (520, 390)

"""Maps of images: shown to a mouse and to a finger, and drawn from images that are fetched one by
one."""

import numpy as np
import torch

from helpers.report.plots import lookup
from helpers.report.plots.lookup import map_page


def test_an_image_appears_for_a_pointing_mouse_and_for_a_tap():
    svg = map_page(torch.eye(2), torch.zeros(2, 1, 8, 8), torch.tensor([0, -1]), ["a"])
    # a tap gives it the focus; the tab key does not walk through it
    assert svg.count('class="p" tabindex="-1"') == 2
    assert ".p:is(:hover,:focus) .v{display:block" in svg
    assert "image 1, no label" in svg


def test_a_map_fetches_only_the_images_it_draws(monkeypatch):
    fetched = []

    class Images:
        def __getitem__(self, row):
            fetched.append(int(row))
            return torch.zeros(3, 8, 8, dtype=torch.uint8)

    monkeypatch.setattr("helpers.report.plots.lookup.SHOWN", 5)
    points = np.random.RandomState(0).rand(40, 2)
    lookup.image_map(points, Images(), np.arange(40) >= 38)
    assert len(fetched) == 7 and fetched[-2:] == [38, 39]


def test_the_map_to_point_at_names_its_classes_and_stays_light():
    noise = torch.randint(0, 256, (600, 1, 16, 16), dtype=torch.uint8,
                          generator=torch.Generator().manual_seed(0))
    labels = torch.arange(600) % 10
    smooth = torch.nn.functional.avg_pool2d(noise.float(), 5, 1, 2).byte()
    svg = map_page(torch.rand(600, 2), smooth, labels,
                   [f"class {number}" for number in range(10)])
    assert all(f">class {number}</text>" in svg for number in range(10))
    assert svg.count("<image") == 600 and len(svg) < 300_000
    many = map_page(torch.rand(20, 2), noise[:20], torch.arange(20), [f"c{n}" for n in range(20)])
    assert ">c3</text>" not in many

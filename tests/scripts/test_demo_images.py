"""The folder of drawn images is what its script draws, and has the faults that it says."""

import io

import numpy as np
import pytest
from PIL import Image

from helpers.common.environment import ROOT
from helpers.data.audit import folder_report
from helpers.data.loading import load
from scripts.demo_images import DEMO, EACH, FAULTS, SCENES, main, scene

EXPECTED = {f"{name}/{name}_{number:02d}.jpg" for name in SCENES
            for number in range(1, EACH + 1)} | FAULTS.keys()


def there(folder):
    return {path.relative_to(folder).as_posix() for path in folder.glob("*/*")}


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def test_every_file_is_there_and_they_are_small():
    assert there(DEMO) == EXPECTED
    assert sum(path.stat().st_size for path in DEMO.glob("*/*")) < 1_000_000


@pytest.mark.parametrize("name", SCENES)
def test_an_image_is_drawn_the_same_again(name):
    kept = pixels(DEMO / name / f"{name}_05.jpg")
    assert np.abs(kept - np.asarray(scene(name, 5), dtype=float)).mean() < 6  # what JPEG changes


def test_the_copy_is_one_and_the_thumbnail_is_small():
    assert (DEMO / "boat/boat_16.jpg").read_bytes() == (DEMO / "boat/boat_03.jpg").read_bytes()
    large, small = pixels(DEMO / "house/house_02.jpg"), pixels(DEMO / "house/house_16.jpg")
    shrunk = large.reshape(32, 4, 32, 4, 3).mean((1, 3))
    assert small.shape == shrunk.shape
    assert np.corrcoef(shrunk.ravel(), small.ravel())[0, 1] > 0.98


def test_the_broken_file_cannot_be_read():
    with pytest.raises(OSError):
        Image.open(io.BytesIO((DEMO / "ball/ball_16.jpg").read_bytes())).load()


def test_the_faults_of_the_files_are_reported():
    report = str(folder_report(DEMO))
    assert "ball_16.jpg" in report and "boat_16.jpg" in report


def test_it_loads_as_a_folder_of_ones_own(tmp_path):
    splits = load("images/demo", image_size=32, seed=0, data_dir=tmp_path)
    assert list(splits.classes) == list(SCENES) and splits.channels == 3


def test_every_fault_is_told_to_readers():
    text = (ROOT / "images" / "README.md").read_text(encoding="utf-8")
    assert all(f"| {name} | {fault} |" in text for name, fault in FAULTS.items())


def test_it_is_drawn_into_any_folder(tmp_path, capsys):
    assert main([str(tmp_path / "new")]) == 0
    assert there(tmp_path / "new") == EXPECTED and "65 files" in capsys.readouterr().out

"""The worked examples of docs/extending.md, taken out of the page and executed at a small scale."""

import re
from pathlib import Path

import pytest
import torch

from helpers.evaluation.features import extract_features
from helpers.models.weights.checkpoint import load_encoder

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"```python (\w+)\n(.*?)```", PAGE, re.DOTALL))
STEPS = 40


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The names that the blocks leave behind, run one after the other in an empty folder, with
    fewer steps."""
    names, folder = {}, tmp_path_factory.mktemp("extending")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, code in BLOCKS.items():
            exec(
                compile(re.sub(r"steps, batch_size = 200", f"steps, batch_size = {STEPS}", code),
                        name, "exec"), names)
    return names, folder


def lines(*names):
    return sum(bool(line.strip()) for name in names for line in BLOCKS[name].splitlines())


def test_each_example_has_fewer_than_40_lines():
    assert lines("dataset") < 40
    assert lines("method", "train") < 40
    assert lines("evaluate") < 40


def test_the_dataset_is_split_and_its_images_without_labels_stay_apart(executed):
    splits = executed[0]["splits"]
    assert (len(splits.train), len(splits.val), len(splits.test)) == (777, 120, 300)
    assert len(splits.unlabeled) == 600 + 777
    assert all(
        set(part.labels.tolist()) == {0, 1} for part in (splits.train, splits.val, splits.test))
    assert splits.unlabeled.dtype == torch.uint8 and splits.unlabeled.shape[1:] == (1, 16, 16)


def test_the_method_learns_and_is_watched(executed):
    names, _ = executed
    losses = names["history"].losses
    assert len(losses) == STEPS
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 0.1
    assert names["monitor"].rows[-1]["step"] == STEPS
    assert names["monitor"].rows[-1]["feature_std"] > 0.1


def test_its_encoder_is_evaluated_and_kept(executed):
    names, folder = executed
    assert names["everything"] > 0.8 and len(names["few"]) == 3
    kept, images = load_encoder(
        folder / "runs" / "simsiam.safetensors"), names["splits"].test.images
    assert kept.meta["method"] == "simsiam"
    torch.testing.assert_close(extract_features(kept, images),
                               extract_features(names["encoder"], images))


def test_the_places_that_the_page_names_exist():
    for name, file in (("METHODS", "common/names"), ("PRETRAINING", "methods/recipes"),
                       ("def recipe_for", "methods/presets"), ("DATASETS", "common/names"),
                       ("DEFAULT_IMAGE_SIZE", "common/names"), ("READERS", "data/named"),
                       ("def view_for", "transforms/views"),
                       ("METHOD_COLORS", "report/plots/style")):
        text = (ROOT / "helpers" / f"{file}.py").read_text(encoding="utf-8")
        assert re.search(rf"^{name}\b", text, re.MULTILINE), (name, file)
        assert f"helpers/{file}.py" in PAGE and f"`{name.removeprefix('def ')}`" in PAGE

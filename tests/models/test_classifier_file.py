"""A classifier's file: what comes back, and what is refused."""

import json

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file

from helpers.common.errors import UserError
from helpers.models.classifier_file import (
    KeptClassifier,
    Seen,
    is_classifier,
    load_classifier,
    save_classifier,
)
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import digest, load_encoder, save_encoder


def classifier(classes=("ant", "bee", "cat")):
    torch.manual_seed(0)
    encoder = build("slim", channels=3, image_size=16, width=4).eval()
    width = encoder.num_features
    layers = [(torch.randn(6, width), torch.randn(6)), (torch.randn(len(classes), 6),
                                                        torch.randn(len(classes)))]
    seen = Seen(torch.randn(20, width), 0.25, torch.tensor([5, -7]),
                {"integer": (0.0, 4095.0)})
    return KeptClassifier(encoder, layers, classes, seen, temperature=0.5, protocol="mlp").eval()


def changed(path, change):
    """Another file with other strings and a digest that agrees."""
    with safetensors.safe_open(path, framework="pt") as file:
        strings = dict(file.metadata())
    tensors, meta = load_file(path), json.loads(strings["meta"])
    change(meta["classifier"], tensors)
    strings["meta"] = json.dumps(meta)
    strings["digest"] = digest(tensors, strings)
    save_file(tensors, path, metadata=strings)


def test_what_is_saved_comes_back(tmp_path):
    made, images = classifier(), torch.rand(4, 3, 16, 16) * 2 - 1
    again = load_classifier(save_classifier(tmp_path / "my.safetensors", made))
    assert torch.equal(again(images), made(images))
    assert (again.classes, again.temperature) == (made.classes, made.temperature)
    assert again.facts["protocol"] == "mlp" and not again.training
    assert again.seen.threshold == 0.25 and again.seen.marks.tolist() == [5, -7]
    assert again.seen.ranges == {"integer": (0, 4095)}
    features = made.encoder(images)
    torch.testing.assert_close(again.distances(features), made.distances(features), atol=1e-3,
                               rtol=0)


def test_probabilities_are_the_softmax_of_the_logits_over_the_temperature():
    made, images = classifier(), torch.rand(4, 3, 16, 16)
    logits = made.head(made.encoder(images))
    torch.testing.assert_close(made(images), (2 * logits).softmax(1))


def test_a_kept_feature_is_near_and_its_opposite_is_far():
    made = classifier()
    same = made.seen.features[:1].repeat(5, 1)
    near = KeptClassifier(made.encoder, [(torch.ones(2, same.shape[1]), torch.zeros(2))], "ab",
                          Seen(same))
    assert near.distances(same[:1]).item() == pytest.approx(0, abs=1e-6)
    assert near.distances(-same[:1]).item() == pytest.approx(2, abs=1e-6)


def test_grey_is_a_weighted_mean_of_the_colours():
    made = classifier()
    made.encoder.config["channels"] = 1
    images = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert made.as_taken(images).tolist() == [[[[76]]]]


def test_the_file_is_an_encoders_file_as_well(tmp_path):
    made = classifier()
    path = save_classifier(tmp_path / "my.safetensors", made)
    encoder = load_encoder(path)
    assert all(torch.equal(value, made.encoder.state_dict()[name])
               for name, value in encoder.state_dict().items())
    assert is_classifier(path)


def test_an_encoders_file_is_no_classifier(tmp_path):
    encoder = build("slim", channels=1, image_size=16, width=4)
    path = save_encoder(encoder, tmp_path / "e.safetensors")
    assert not is_classifier(path)
    with pytest.raises(UserError, match="holds an encoder and no classifier: train one with"):
        load_classifier(path)


@pytest.mark.parametrize("change", [
    lambda said, tensors: said.pop("classes"), lambda said, tensors: said.update(classes=["a"]),
    lambda said, tensors: said.update(classes=7), lambda said, tensors: said.update(temperature=0),
    lambda said, tensors: said.update(classes=[1, 2, 3]),
    lambda said, tensors: said.update(threshold="far"),
    lambda said, tensors: said["preprocessing"].update(ranges=[0, 4095]),
    lambda said, tensors: said["preprocessing"].update(ranges={"integer": [0, float("nan")]}),
    lambda said, tensors: said["preprocessing"].update(ranges={"integer": [9, 1]}),
    lambda said, tensors: tensors.pop("beside.head.1.bias"),
    lambda said, tensors: tensors.update({"beside.bank": torch.zeros(3, 2)}),
    lambda said, tensors: tensors.update({"beside.head.0.weight": torch.zeros(6, 1)})])
def test_parts_that_do_not_fit_are_one_line(change, tmp_path):
    path = save_classifier(tmp_path / "my.safetensors", classifier())
    changed(path, change)
    with pytest.raises(UserError, match="is no whole classifier") as problem:
        load_classifier(path)
    assert "\n" not in str(problem.value)


def test_a_file_from_before_ranges_were_kept_is_read(tmp_path):
    path = save_classifier(tmp_path / "my.safetensors", classifier())
    changed(path, lambda said, tensors: said["preprocessing"].pop("ranges"))
    assert load_classifier(path).seen.ranges == {}


def test_a_changed_byte_and_a_cut_file_are_noticed(tmp_path):
    path = save_classifier(tmp_path / "my.safetensors", classifier())
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="its digest differs"):
        load_classifier(path)
    path.write_bytes(content[:len(content) // 2])
    with pytest.raises(UserError, match="not a whole safetensors file"):
        load_classifier(path)

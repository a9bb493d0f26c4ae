"""Names, splits and the embedded digits."""

import dataclasses
import hashlib
from urllib.parse import urlsplit

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_folders import make_folder
from sklearn.datasets import load_digits

from helpers.common import environment
from helpers.common.errors import UserError
from helpers.data import loading as data
from helpers.data import named, splits
from helpers.data.arrays import resize
from helpers.data.carving import Shares, carve, stratified, take_out
from helpers.data.splits import halves, only_classes, require
from helpers.settings import Settings

# First 16 hex digits of SHA-256 over the sorted images of train, val and test.
EXPECTED_DIGITS = ["e4e2ffea69a7fec2", "6a96e621a6f85540", "287b155859197650"]


def contents(images):
    """Every image as bytes, to compare sets of images by what they show."""
    return [image.numpy().tobytes() for image in images]


def fingerprint(labeled):
    digest = hashlib.sha256(b"".join(sorted(contents(labeled.images))))
    return digest.hexdigest()[:16]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def test_a_part_of_the_images_is_drawn_with_its_labels(digits):
    few, again, other = (digits.test.drawn(50, seed) for seed in (3, 3, 4))
    assert contents(few.images) == contents(again.images) != contents(other.images)
    whole = contents(digits.test.images)
    rows = [whole.index(image) for image in contents(few.images)]
    assert rows == sorted(set(rows)) and len(rows) == 50
    assert few.labels.tolist() == digits.test.labels[rows].tolist()


@pytest.mark.parametrize("most", [500, 5000])
def test_all_images_stay_where_so_many_are_allowed(digits, most):
    assert digits.test.drawn(most) is digits.test


def test_digits_have_the_promised_sizes(digits):
    sizes = [len(digits.unlabeled), len(digits.train), len(digits.val), len(digits.test)]
    assert sizes == [1097, 1097, 200, 500]


def test_images_are_uint8_and_labels_int64(digits):
    assert digits.train.images.shape == (1097, 1, 16, 16)
    assert (digits.train.images.dtype, digits.train.labels.dtype) == (torch.uint8, torch.int64)
    assert (digits.channels, digits.image_size) == (1, 16)


def test_digits_use_the_full_range_of_intensities(digits):
    assert (int(digits.train.images.min()), int(digits.train.images.max())) == (0, 255)


def test_digits_at_their_own_size_are_sklearns_pixels_scaled():
    splits = data.load("digits", image_size=8)
    ours = torch.cat([splits.train.images, splits.val.images, splits.test.images])
    theirs = torch.from_numpy(np.rint(load_digits().images * 255 / 16).astype(np.uint8))[:, None]
    assert sorted(contents(ours)) == sorted(contents(theirs))


def test_images_keep_their_own_labels_when_rows_are_moved():
    splits = data.load("digits", image_size=8)
    bunch = load_digits()
    truth = {}
    for pixels, label in zip(bunch.images, bunch.target, strict=True):
        truth.setdefault(np.rint(pixels * 255 / 16).astype(np.uint8).tobytes(),
                         set()).add(int(label))
    for part in (splits.train, splits.val, splits.test):
        assert all(
            int(label) in truth[image.numpy().tobytes()]
            for image, label in zip(*part, strict=True))


def test_digits_of_seed_0_are_the_same_on_every_machine(digits):
    assert [fingerprint(part)
            for part in (digits.train, digits.val, digits.test)] == EXPECTED_DIGITS


def test_splits_together_are_the_whole_dataset_once(digits):
    together = [
        image for part in (digits.train, digits.val, digits.test) for image in contents(part.images)
    ]
    assert len(together) == 1797
    assert len(set(together)) == len({pixels.tobytes() for pixels in load_digits().images})


def test_test_images_do_not_depend_on_the_seed(digits):
    other = data.load("digits", seed=7)
    assert torch.equal(other.test.images, digits.test.images)
    assert torch.equal(other.test.labels, digits.test.labels)


def test_validation_images_depend_on_the_seed(digits):
    assert fingerprint(data.load("digits", seed=7).val) != fingerprint(digits.val)


def test_the_same_seed_gives_the_same_validation_images(digits):
    assert torch.equal(data.load("digits", seed=0).val.images, digits.val.images)


def test_the_global_random_state_neither_matters_nor_changes(digits):
    np.random.seed(5)
    torch.manual_seed(5)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    again = data.load("digits")
    assert torch.equal(again.val.images, digits.val.images)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])


def test_unlabeled_digits_are_the_training_images(digits):
    assert torch.equal(digits.unlabeled, digits.train.images)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_every_split_has_the_classes_in_the_same_proportions(digits, part):
    labels = getattr(digits, part).labels
    share = torch.bincount(labels, minlength=10) / len(labels)
    whole = torch.from_numpy(np.bincount(load_digits().target) / 1797)
    assert torch.allclose(share.double(), whole, atol=1.5 / len(labels))


@given(labels=st.lists(st.integers(0, 4), min_size=10, max_size=60), share=st.floats(0.1, 0.5),
       seed=st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_stratified_takes_some_of_each_class_but_never_all(labels, share, seed):
    labels = np.array(labels)
    chosen = stratified(labels, round(share * len(labels)), seed)
    assert len(set(chosen)) == len(chosen)
    sizes, taken = np.bincount(labels), np.bincount(labels[chosen], minlength=labels.max() + 1)
    assert all(0 < t < n for t, n in zip(taken, sizes, strict=True) if n > 1)
    assert all(t == 0 for t, n in zip(taken, sizes, strict=True) if n < 2)


def test_stratified_takes_the_exact_number_where_classes_are_large():
    labels = np.arange(1000) % 7
    assert len(stratified(labels, 123, seed=3)) == 123


@given(first=st.integers(0, 5), count=st.integers(2, 9), seed=st.integers(0, 5))
@settings(max_examples=40, deadline=None)
def test_take_out_permutes_rows_inside_the_span_only(first, count, seed):
    labels = torch.arange(40) % 2
    images = torch.arange(40, dtype=torch.uint8)[:, None, None, None].clone()
    kept, taken = take_out(images, labels, (first, 30), count, seed)
    order = images.flatten().tolist()
    assert order[:first] == list(range(first)) and order[30:] == list(range(30, 40))
    assert sorted(order) == list(range(40))
    assert [n % 2 for n in order] == labels.tolist()
    assert kept[0] == first and kept[1] == taken[0] and taken[1] == 30


def test_unlabeled_holds_pretext_and_training_images_and_nothing_else():
    images = torch.arange(50, dtype=torch.uint8)[:, None, None, None].clone()
    labels = torch.tensor([-1] * 10 + [0, 1] * 20)
    splits = carve("toy", images, labels, {"pretext": (0, 10), "train": (10, 50)}, ("a", "b"),
                   Shares(val=0.2, test=0.2, seed=1))
    held_out = {*splits.val.images.flatten().tolist(), *splits.test.images.flatten().tolist()}
    assert set(splits.unlabeled.flatten().tolist()) == set(range(50)) - held_out
    assert set(range(10)) < set(splits.unlabeled.flatten().tolist())
    assert (len(splits.train), len(splits.val), len(splits.test)) == (24, 8, 8)


def test_too_few_images_for_a_split_is_one_line():
    images, labels = torch.zeros(2, 1, 1, 1, dtype=torch.uint8), torch.tensor([0, 1])
    with pytest.raises(UserError,
                       match="toy: too few training images to take a test split") as caught:
        carve("toy", images, labels, {"train": (0, 2)}, ("a", "b"),
              Shares(val=0.2, test=0.2, seed=0))
    assert "\n" not in str(caught.value)


def test_labeled_unpacks_and_has_the_length_of_its_images(digits):
    images, labels = digits.val
    assert len(digits.val) == len(images) == len(labels) == 200


def test_splits_cannot_be_reassigned(digits):
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.test = digits.train


def test_describe_counts_images_and_labels(digits):
    rows = {row["split"]: row for row in splits.describe(digits)}
    assert rows["unlabeled"]["images"] == 1097 and rows["unlabeled"]["labelled"] == 0
    assert rows["test"] == {"split": "test", "images": 500, "labelled": 500, "smallest class": 48,
                            "largest class": 51, "size": "1 x 16 x 16"}


def test_str_names_every_split_with_its_size(digits):
    text = str(digits)
    assert text.startswith("digits: 10 classes, 1 x 16 x 16")
    assert "1,097 images" in text and "500 images" in text


def test_resizing_a_block_agrees_with_torchvision():
    from torchvision.transforms.v2 import functional

    noise = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=noise)
    for size in (20, 48):
        theirs = functional.resize(images.float(), [size, size], antialias=True).round()
        assert (resize(images, size).float() - theirs).abs().max() <= 1


def test_a_misspelt_name_is_answered_with_close_ones():
    with pytest.raises(UserError, match="dataset cifar-100: .* did you mean cifar10") as caught:
        data.load("cifar-100")
    assert "fashion-mnist" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("spelling", ["Digits", "DIGITS", " digits"])
def test_names_are_found_in_any_case(spelling):
    assert data.load(spelling).name == "digits"


def test_a_file_in_place_of_a_folder_is_one_line(tmp_path):
    archive = tmp_path / "images.tar"
    archive.write_bytes(b"")
    with pytest.raises(UserError, match=r"images.tar: this is a file and no zip; unpack it"):
        data.load(archive)


@pytest.mark.parametrize("size", [0, -3, 7, 100_000])
def test_an_image_size_out_of_range_is_one_line(size):
    with pytest.raises(UserError, match=f"image size {size}: choose"):
        data.load("digits", image_size=size)


@pytest.mark.parametrize(("device", "network", "name"), [("cuda", True, "imagenette"),
                                                         ("cuda:1", True, "imagenette"),
                                                         ("cuda", False, "digits"),
                                                         ("cpu", True, "digits"),
                                                         ("mps", True, "digits")])
def test_auto_takes_imagenette_only_on_a_gpu_with_a_network(device, network, name, monkeypatch):
    monkeypatch.setattr(environment, "has_network", lambda: network)
    assert environment.default_dataset(device)[0] == name


def test_the_network_that_auto_asks_is_the_server_of_its_dataset():
    assert (urlsplit(named.IMAGENETTE_URL).hostname, 443) == environment.PUBLIC_HOST


def test_the_network_is_left_alone_when_asked(monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    monkeypatch.setattr(environment.socket, "create_connection",
                        lambda *_, **__: pytest.fail("connected"))
    assert not environment.has_network()


def test_a_network_that_refuses_is_no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("unreachable")

    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    monkeypatch.setattr(environment.socket, "create_connection", refuse)
    assert not environment.has_network()


def test_the_halves_share_no_class_and_count_theirs_from_zero():
    whole = data.load("digits")
    first, second = halves(whole)
    assert first.classes + second.classes == whole.classes
    assert len(first.test) + len(second.test) == len(whole.test)
    for half in (first, second):
        assert half.train.labels.unique().tolist() == [0, 1, 2, 3, 4]
    seven = whole.test.images[whole.test.labels == 7]
    assert torch.equal(second.test.images[second.test.labels == 2], seven)


def test_only_classes_keeps_their_images_and_numbers_them_anew():
    whole = data.load("digits")
    part = only_classes(whole, ["7", "2"])
    assert part.classes == ("7", "2")
    for name in ("train", "val", "test"):
        (images, labels), (all_images, all_labels) = getattr(part, name), getattr(whole, name)
        assert torch.equal(images[labels == 0], all_images[all_labels == 7])
        assert torch.equal(images[labels == 1], all_images[all_labels == 2])
        assert len(images) == ((all_labels == 7) | (all_labels == 2)).sum()
    assert torch.equal(part.unlabeled, part.train.images)


@pytest.mark.parametrize("classes,message", [(["7", "x"], "no class 'x'"),
                                             (["7", "7"], "fewer than two")])
def test_classes_that_cannot_be_kept_are_one_line(classes, message):
    with pytest.raises(UserError, match=message):
        only_classes(data.load("digits"), classes)


def test_a_dataset_too_small_for_a_notebook_is_one_line(digits):
    assert require(digits, 1000) is digits
    with pytest.raises(UserError,
                       match="digits: 1097 training images with a label are too few") as caught:
        require(digits, 2000)
    assert "\n" not in str(caught.value)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with a folder of images in it, and a kernel that starts in its notebooks/."""
    make_folder(tmp_path / "my_images", ("train", "val", "test"), each=4)
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path / "notebooks")
    return tmp_path


def test_a_folder_is_found_from_the_repository_too(repository):
    assert data.load("my_images", image_size=16,
                     data_dir=repository / "data").classes == ("ant", "bee")
    chosen = Settings.resolve(dataset="my_images", preset="smoke")
    assert chosen.dataset == str(repository / "my_images")
    assert chosen == Settings.resolve(dataset="../my_images",
                                      preset="smoke").replace(dataset=chosen.dataset)


def test_a_folder_that_is_nowhere_names_the_places(repository):
    with pytest.raises(UserError) as caught:
        data.load("no_images")
    places = [repository / "notebooks" / "no_images", repository / "no_images"]
    assert f"nothing is at {places[0]} or {places[1]}" in str(caught.value)
    assert "\n" not in str(caught.value)

"""Torchvision's datasets in tiny files of the same layout."""

import gzip
import hashlib
import json
import os
import pickle
import shutil
import tarfile
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch
from image_folders import paint
from torchvision import datasets

from helpers.common.errors import UserError
from helpers.data import loading as data
from helpers.data import named
from helpers.settings import Settings

RANDOM = np.random.RandomState(0)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")


@pytest.fixture
def any_checksum(monkeypatch):
    """Let torchvision take our tiny files for its own."""
    for module in (datasets.stl10, datasets.cifar):
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: os.path.isfile(path))


def write_stl10(root):
    """Return the images (column first on disk, as published) that were written."""
    place = root / "stl10_binary"
    place.mkdir(parents=True)
    images = {}
    for part, count in (("train", 40), ("test", 20), ("unlabeled", 30)):
        images[part] = RANDOM.randint(0, 256, (count, 3, 96, 96), dtype=np.uint8)
        images[part].transpose(0, 1, 3, 2).tofile(place / f"{part}_X.bin")
        if part != "unlabeled":
            (np.arange(count, dtype=np.uint8) % 10 + 1).tofile(place / f"{part}_y.bin")
    return images


def write_cifar10(root):
    place = root / "cifar-10-batches-py"
    place.mkdir(parents=True)
    images = RANDOM.randint(0, 256, (120, 3, 32, 32), dtype=np.uint8)
    for n, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        rows = slice(20 * n, 20 * n + 20)
        batch = {"data": images[rows].reshape(20, -1), "labels": [i % 10 for i in range(20)]}
        (place / name).write_bytes(pickle.dumps(batch))
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": list(named.STL10_CLASSES)}))
    return images


def idx(array):
    """An array in the format of MNIST's files: magic number, sizes, bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def write_fashion(raw):
    raw.mkdir(parents=True)
    images = RANDOM.randint(0, 256, (60, 28, 28), dtype=np.uint8)
    for name, rows in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        (raw / f"{name}-images-idx3-ubyte").write_bytes(idx(images[rows]))
        (raw / f"{name}-labels-idx1-ubyte").write_bytes(
            idx((np.arange(60) % 10).astype(np.uint8)[rows]))
    return images


def write_imagenette(root):
    for part, each in (("train", 8), ("val", 3)):
        for shade, wnid in enumerate(["n01440764", "n02102040", "n03888257"]):
            for n in range(each):
                paint(root / part / wnid / f"{n}.JPEG",
                      (shade * 60, n, 200 if part == "val" else 0))
    (root / "noisy_imagenette.csv").write_text("path,label")


def as_set(images):
    return {np.asarray(image).tobytes() for image in images}


def test_stl10_unlabeled_are_its_unlabeled_and_training_images_without_val(tmp_path, any_checksum):
    written = write_stl10(tmp_path)
    splits = data.load("stl10", data_dir=tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test), len(splits.unlabeled)) == (30, 10,
                                                                                             20, 60)
    assert as_set(splits.test.images) == as_set(written["test"])
    assert as_set(splits.train.images) | as_set(splits.val.images) == as_set(written["train"])
    assert as_set(splits.unlabeled) == as_set(written["unlabeled"]) | as_set(splits.train.images)


def test_stl10_labels_count_from_zero(tmp_path, any_checksum):
    write_stl10(tmp_path)
    splits = data.load("stl10", data_dir=tmp_path)
    assert torch.equal(splits.test.labels, torch.arange(20) % 10)
    assert splits.classes[0] == "airplane" and len(splits.classes) == 10


def test_stl10_is_unpacked_into_a_block_only_once(tmp_path, any_checksum):
    write_stl10(tmp_path)
    first = data.load("stl10", data_dir=tmp_path)
    shutil.rmtree(tmp_path / "stl10_binary")
    second = data.load("stl10", data_dir=tmp_path)
    assert torch.equal(first.unlabeled, second.unlabeled)


def test_a_block_of_stl10_from_an_earlier_version_is_read_as_it_is(tmp_path, any_checksum, capsys):
    write_stl10(tmp_path)
    first = data.load("stl10", data_dir=tmp_path)
    shutil.rmtree(tmp_path / "stl10_binary")
    (path,) = (tmp_path / "cache").glob("stl10-*/index.json")
    index = json.loads(path.read_text(encoding="utf-8"))
    kept, all_images = index["kept"], index["images"]
    pretext = kept["labels"].count(-1)
    index["kept"] = {"labels": kept["labels"], "sizes": [
        pretext, kept["border"] - pretext, all_images - kept["border"]]}
    path.write_text(json.dumps(index), encoding="utf-8")
    again = data.load("stl10", data_dir=tmp_path)
    for part in ("train", "val", "test"):
        assert torch.equal(getattr(first, part).images, getattr(again, part).images)
        assert torch.equal(getattr(first, part).labels, getattr(again, part).labels)
    assert torch.equal(first.unlabeled, again.unlabeled) and first.classes == again.classes
    assert "decoding again" not in capsys.readouterr().err


def test_stl10_at_another_size(tmp_path, any_checksum):
    write_stl10(tmp_path)
    splits = data.load("stl10", image_size=48, data_dir=tmp_path)
    assert splits.unlabeled.shape == (60, 3, 48, 48)


def test_cifar10_keeps_images_and_labels_together(tmp_path, any_checksum):
    written = write_cifar10(tmp_path)
    splits = data.load("cifar10", data_dir=tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (90, 10, 20)
    label_of = {image.tobytes(): i % 10 for i, image in enumerate(written)}
    for part in (splits.train, splits.val, splits.test):
        assert all(label_of[image.numpy().tobytes()] == label
                   for image, label in zip(*part, strict=True))
    assert np.array_equal(splits.test.images, written[100:])


def test_cifar10_is_enlarged_once_into_a_file_a_few_at_a_time(tmp_path, any_checksum,
                                                              monkeypatch):
    written, seen, resize = torch.from_numpy(write_cifar10(tmp_path)), [], named.resize
    monkeypatch.setattr(named, "resize", lambda images, size: (seen.append(len(images)),
                                                               resize(images, size))[1])
    first = data.load("cifar10", image_size=48, data_dir=tmp_path)
    whole = torch.nn.functional.interpolate(written.float(), size=48, mode="bilinear")
    assert as_set(first.unlabeled) | as_set(first.val.images) == as_set(
        whole[:100].round().to(torch.uint8))
    assert seen == [64, 36, 20]
    shutil.rmtree(tmp_path / "cifar-10-batches-py")
    again = data.load("cifar10", image_size=48, data_dir=tmp_path, seed=1)
    assert torch.equal(first.test.images, again.test.images)
    assert as_set(first.val.images) != as_set(again.val.images)
    (block,) = (tmp_path / "cache").glob("cifar10-*/images.npy")
    assert block.stat().st_size == pytest.approx(120 * 3 * 48 * 48, rel=0.01)


def test_cifar10_with_a_wrong_checksum_is_not_used(tmp_path):
    write_cifar10(tmp_path)
    with pytest.raises(UserError, match="cifar10: the download failed"):
        data.load("cifar10", data_dir=tmp_path)


def test_fashion_mnist_has_one_channel(tmp_path):
    written = write_fashion(tmp_path / "FashionMNIST" / "raw")
    splits = data.load("fashion-mnist", data_dir=tmp_path)
    assert splits.unlabeled.shape == (30, 1, 28, 28)
    assert np.array_equal(splits.test.images[:, 0], written[40:])
    assert torch.equal(splits.test.labels, torch.arange(40, 60) % 10)


def test_fashion_mnist_cut_short_is_unpacked_again_from_its_archives(tmp_path, monkeypatch):
    raw = tmp_path / "FashionMNIST" / "raw"
    written = write_fashion(raw)
    resources = []
    for file in sorted(raw.iterdir()):
        archive = raw / f"{file.name}.gz"
        archive.write_bytes(gzip.compress(file.read_bytes()))
        resources.append((archive.name, hashlib.md5(archive.read_bytes()).hexdigest()))
    monkeypatch.setattr(datasets.FashionMNIST, "resources", resources)
    cut = raw / "train-images-idx3-ubyte"
    cut.write_bytes(cut.read_bytes()[:1000])
    assert np.array_equal(
        data.load("fashion-mnist", data_dir=tmp_path).test.images[:, 0], written[40:])


def test_imagenettes_published_validation_images_are_the_test(tmp_path):
    write_imagenette(tmp_path / "imagenette2-160")
    splits = data.load("imagenette", image_size=32, data_dir=tmp_path)
    assert (len(splits.train), len(splits.val), len(splits.test)) == (21, 3, 9)
    assert (splits.test.images[:, 2] > 150).all() and (splits.unlabeled[:, 2] < 50).all()
    assert splits.classes == ("tench", "English springer", "parachute")


def test_an_incomplete_imagenette_says_so(tmp_path):
    write_imagenette(tmp_path / "imagenette2-160")
    notes = data.load("imagenette", image_size=32, data_dir=tmp_path).notes
    assert any(note.startswith("33 of 13,394 images found: remove ") for note in notes)


@pytest.mark.parametrize(("size", "folder"), [(128, "imagenette2-160"), (161, "imagenette2-320"),
                                              (400, "imagenette2")])
def test_imagenette_comes_in_the_smallest_size_that_is_large_enough(tmp_path, size, folder):
    with pytest.raises(UserError, match=f"put {folder}.tgz into"):
        data.load("imagenette", image_size=size, data_dir=tmp_path)


def test_imagenettes_archives_are_those_that_torchvision_names():
    ours = {size: (f"{named.IMAGENETTE_URL}{folder}.tgz", md5)
            for size, folder, md5 in named.IMAGENETTE.values()}
    assert ours == datasets.Imagenette._ARCHIVES


def test_an_imagenette_archive_put_there_by_hand_is_unpacked(tmp_path, monkeypatch):
    write_imagenette(tmp_path / "made" / "imagenette2-160")
    archive = tmp_path / "imagenette2-160.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "made" / "imagenette2-160", "imagenette2-160")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(named.IMAGENETTE, 160, ("160px", "imagenette2-160", md5))
    assert len(data.load("imagenette", image_size=32, data_dir=tmp_path).test) == 9


@pytest.fixture
def imagenettes_server(tmp_path, monkeypatch):
    """A server of this machine with a small Imagenette; a class whose `moods` it has in turn."""
    write_imagenette(tmp_path / "made" / "imagenette2-160")
    archive = tmp_path / "made" / "imagenette2-160.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(archive.with_suffix(""), "imagenette2-160")

    class Server(SimpleHTTPRequestHandler):
        moods = []  # an error's number, or "half" an answer

        def do_GET(self):
            mood = self.moods.pop(0) if self.moods else ""
            if isinstance(mood, int):
                return self.send_error(mood)
            body = archive.read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:len(body) // 2] if mood == "half" else body)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(named, "IMAGENETTE_URL", f"http://127.0.0.1:{server.server_port}/")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(named.IMAGENETTE, 160, ("160px", "imagenette2-160", md5))
    yield Server
    server.shutdown()
    server.server_close()


def test_the_gpu_presets_imagenette_comes_from_its_server(tmp_path, imagenettes_server):
    chosen = Settings.resolve(dataset="imagenette", preset="gpu", device="cpu")
    splits = data.load("imagenette", image_size=chosen.image_size, data_dir=tmp_path / "data")
    assert (splits.image_size, splits.channels, len(splits.test)) == (48, 3, 9)
    assert splits.classes[0] == "tench"


@pytest.mark.parametrize("mood", [404, 503, "half"])
def test_a_server_that_fails_leaves_no_half_dataset_and_one_line_says_what_to_do(
        tmp_path, imagenettes_server, mood):
    imagenettes_server.moods = [mood] * 9
    place = tmp_path / "data"
    with pytest.raises(UserError, match="imagenette: the download failed") as caught:
        data.load("imagenette", image_size=48, data_dir=place)
    assert "\n" not in str(caught.value) and "use the dataset digits" in str(caught.value)
    assert {path.name for path in place.iterdir()} <= {".lock", "imagenette2-160.tgz.part"}
    imagenettes_server.moods = []
    assert len(data.load("imagenette", image_size=48, data_dir=place).test) == 9


@pytest.mark.parametrize("name", ["stl10", "cifar10", "imagenette", "fashion-mnist"])
def test_without_a_network_one_line_says_what_to_do(tmp_path, name):
    with pytest.raises(UserError) as caught:
        data.load(name, data_dir=tmp_path)
    text = str(caught.value)
    assert text.startswith(f"{name}: the download failed") and "\n" not in text
    assert "run again" in text and "by hand" in text and "digits" in text and str(tmp_path) in text

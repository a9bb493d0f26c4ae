"""Weights by name, from servers on their good and bad days; gdown itself is in the loop."""

import io
import json
import shutil
import sys
import types

import pytest
import requests
import torch
from drive_server import serve
from foreign_weights import as_sequential, as_vit, randomised, self_learner, small_vit, some_images

from helpers.common import environment as colab
from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights import choose, registry
from helpers.models.weights import hub as fetching
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.choose import Choice
from helpers.models.weights.convert import read_weights
from helpers.models.weights.hub import fetch, pretrained, upload

DRIVE_ID = "1" * 33
FOLDER_ID = "2" * 33
WEB = "weights.example/vit.pth"
DRIVE, ADDRESS = {"drive": DRIVE_ID}, {"url": f"https://{WEB}"}


def content_of(encoder):
    file = io.BytesIO()
    torch.save(as_vit("timm", encoder), file)
    return file.getvalue()


def large(encoder):
    """Weights of several chunks of the download, for connections that break half-way."""
    file = io.BytesIO()
    torch.save(as_vit("timm", encoder) | {"head.weight": torch.rand(1 << 20)}, file)
    return file.getvalue()


@pytest.fixture
def encoder():
    return randomised(small_vit())


@pytest.fixture
def world(monkeypatch, tmp_path, encoder):
    """Servers that hold one file of weights, a manifest that lists nothing, and no waiting."""
    monkeypatch.setattr(fetching, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(registry, "MANIFEST", tmp_path / "manifest.json")
    monkeypatch.delenv("FEWLABELS_OFFLINE", raising=False)
    with serve(monkeypatch) as world:
        world.files = {DRIVE_ID: content_of(encoder), WEB: content_of(encoder)}
        yield world


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


def listed(*sources, name="vit", **fields):
    entry = dict(what="a ViT", method="", encoder="vit_tiny", dataset="", epochs=None, accuracy={},
                 command="", licence="", file="vit.pth", bytes=None, sha256=None,
                 sources=list(sources))
    registry.MANIFEST.write_text(json.dumps({name: entry | fields}))


def refused(words, folder, name="vit"):
    with pytest.raises(UserError, match=words) as error:
        fetch(name, folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def left_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("source", [DRIVE, ADDRESS], ids=["Drive", "web"])
def test_a_fetched_file_is_whole_and_nothing_else_is_left(world, folder, encoder, source):
    listed(source)
    path = fetch("vit", folder)
    assert path.read_bytes() == content_of(encoder)
    assert left_in(folder) == ["vit.pth", "weights.lock.json"]


def test_a_file_in_a_shared_folder_is_found_by_its_name_however_it_is_spelled(
        world, folder, encoder):
    world.folders[FOLDER_ID] = {"other.pth": "3" * 33, "pre_trained_BYOL-checkpoint.pth": DRIVE_ID}
    listed({"drive_folder": FOLDER_ID, "name": "pretrained_byol_checkpoint.pth"})
    assert fetch("vit", folder).read_bytes() == content_of(encoder)


def test_a_folder_without_the_file_says_what_it_has(world, folder):
    world.folders[FOLDER_ID] = {"other.pth": "3" * 33}
    listed({"drive_folder": FOLDER_ID, "name": "byol.pth"})
    refused("the Drive folder has no byol.pth, but other.pth", folder)


def test_a_folder_that_is_gone_is_one_line(world, folder):
    listed({"drive_folder": FOLDER_ID, "name": "byol.pth"})
    refused("cannot be fetched .*Drive", folder)
    assert not folder.exists()


@pytest.mark.parametrize("fields", [
    {"bytes": "many"}, {"bytes": -1}, {"sha256": 5}, {"sha256": "../x"}, {"file": "../../evil.pth"},
    {"file": ""}, {"file": None}, {"sources": "url"}, {"sources": [1]}, {"sources": [{"url": 5}]},
    {"sources": [{"drive_folder": FOLDER_ID}]}, {"sources": [{"file": "../../etc/passwd"}]},
    {"accuracy": {"kNN": "high"}}, {"accuracy": 0.5}, {"what": ["a"]}, {"epochs": "ten"},
    {"unknown": 1}])
def test_a_list_that_is_not_as_expected_is_one_line(fields, world, folder):
    listed(ADDRESS, **fields)
    refused("the list of weights .*manifest.json cannot be read .*get the repository again", folder)
    assert not folder.exists()


@pytest.mark.parametrize("content", ["[1]", "[" * 100_000, '{"vit": 1}', '{"vit": []}', "", "null"])
def test_a_list_that_is_no_list_is_one_line(content, world, folder):
    registry.MANIFEST.write_text(content)
    refused("manifest.json cannot be read", folder)


def test_a_file_larger_than_the_list_says_is_not_kept(world, folder, encoder):
    world.files[WEB] = large(encoder)
    listed(ADDRESS, bytes=1000)
    refused("weights.example: the server sends more than the 1,000 bytes", folder)
    assert not folder.exists()


def test_weights_that_this_torchvision_does_not_know_are_one_line(world, folder):
    listed({"torchvision": "ResNet19_Weights.NONE"})
    refused("this torchvision has no ResNet19_Weights.NONE", folder)


def test_the_second_fetch_asks_no_server(world, folder):
    listed(DRIVE)
    fetch("vit", folder)
    world.asked.clear()
    fetch("vit", folder)
    assert not world.asked


@pytest.mark.parametrize(("mood", "words"), [
    ("quota", "quota for this file is used up, which lasts up to 24 hours"),
    ("not shared", "does not give the file out"),
    ("html", "a web page in place of weights"),
])
def test_a_page_of_drive_in_place_of_the_file_is_one_line_with_the_ways_out(
        world, folder, mood, words):
    listed(DRIVE)
    world.moods[DRIVE_ID] = [mood]
    message = refused(words, folder)
    assert "put your own copy at" in message and "weights list" in message
    assert not folder.exists()


@pytest.mark.parametrize("mood", ["endless", "packed"])
@pytest.mark.parametrize("source", [DRIVE, ADDRESS], ids=["Drive", "web"])
def test_a_file_without_end_is_hung_up_on_and_nothing_of_it_stays(world, folder, source, mood):
    listed(source, bytes=1_000_000)
    world.moods[DRIVE_ID] = world.moods[WEB] = [mood]
    refused("sends more than the|packs the file", folder)
    assert not folder.exists()


@pytest.mark.parametrize("mood", ["quota", "not shared"])
def test_a_refusal_of_drive_is_not_asked_again(world, folder, mood):
    listed(DRIVE)
    world.moods[DRIVE_ID] = [mood]
    refused("cannot be fetched", folder)
    assert len([1 for place, _ in world.asked if place == "drive.google.com/uc"]) == 1


def test_the_next_source_is_tried_when_one_fails(world, folder, encoder):
    listed(DRIVE, ADDRESS)
    world.moods[DRIVE_ID] = ["quota"]
    assert fetch("vit", folder).read_bytes() == content_of(encoder)
    assert registry.lock(folder)["vit"]["source"] == "weights.example"


@pytest.mark.parametrize(("source", "key"), [(DRIVE, DRIVE_ID), (ADDRESS, WEB)],
                         ids=["Drive", "web"])
def test_a_broken_connection_is_continued_where_it_ended(world, folder, encoder, source, key):
    listed(source)
    world.moods[key] = ["cut", "ok"]
    whole = world.files[key] = large(encoder)
    assert fetch("vit", folder).read_bytes() == whole
    (asked,) = {asked for _, asked in world.asked if asked}
    assert len(whole) // 3 < int(asked.removeprefix("bytes=").rstrip("-")) <= len(whole) // 2


@pytest.mark.parametrize(("source", "key"), [(DRIVE, DRIVE_ID), (ADDRESS, WEB)],
                         ids=["Drive", "web"])
def test_what_arrived_before_a_failure_is_kept_for_the_next_call(world, folder, encoder, source,
                                                                 key, monkeypatch):
    listed(source)
    monkeypatch.setattr(fetching, "WAITS", ())
    whole = world.files[key] = large(encoder)
    world.moods[key] = ["cut", "ok"]
    refused("cannot be fetched", folder)
    (part,) = left_in(folder)
    assert part.endswith(".part")
    assert fetch("vit", folder).read_bytes() == whole
    assert [asked for _, asked in world.asked if asked]
    assert left_in(folder) == ["vit.pth", "weights.lock.json"]


def test_a_server_that_cannot_continue_sends_the_whole_file(world, folder, encoder):
    listed(ADDRESS)
    world.moods[WEB] = ["cut", "no ranges"]
    assert fetch("vit", folder).read_bytes() == content_of(encoder)


def test_a_partial_download_that_is_longer_than_the_file_is_begun_anew(world, folder, encoder):
    listed(ADDRESS)
    part = folder / "incoming" / "web-vit.pth.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"x" * (len(content_of(encoder)) + 5))
    assert fetch("vit", folder).read_bytes() == content_of(encoder)


def test_a_server_that_fails_twice_is_asked_a_third_time(world, folder, encoder):
    listed(ADDRESS)
    world.moods[WEB] = ["500", "500", "ok"]
    assert fetch("vit", folder).read_bytes() == content_of(encoder)


def test_the_attempts_are_spaced_further_and_further(world, folder, monkeypatch):
    listed(ADDRESS)
    waited = []
    monkeypatch.setattr(fetching, "WAITS", (2.0, 8.0))
    monkeypatch.setattr(fetching.time, "sleep", waited.append)
    world.moods[WEB] = ["500"]
    refused("the server answers 500", folder)
    assert waited == [2.0, 8.0]


def test_an_address_that_is_gone_is_not_asked_again(world, folder):
    listed(ADDRESS)
    world.moods[WEB] = ["404"]
    refused("the server answers 404", folder)
    assert len(world.asked) == 1


@pytest.mark.parametrize("source", [DRIVE, ADDRESS], ids=["Drive", "web"])
def test_a_truncated_file_that_looks_complete_is_refused_and_removed(world, folder, encoder,
                                                                     source):
    listed(source)
    world.files = {DRIVE_ID: content_of(encoder)[:-500], WEB: content_of(encoder)[:-500]}
    refused("what came is not it: is damaged or cut off", folder)
    assert not folder.exists()


def test_a_malicious_file_is_refused_and_removed(world, folder, tmp_path):
    class Bomb:
        def __reduce__(self):
            return eval, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    file = io.BytesIO()
    torch.save({"net": Bomb()}, file)
    world.files[WEB] = file.getvalue()
    listed(ADDRESS)
    refused("holds more than tensors", folder)
    assert not folder.exists() and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", [DRIVE, ADDRESS], ids=["Drive", "web"])
def test_no_network_is_one_line(world, folder, source, monkeypatch):
    def unreachable(self, request, **options):
        raise requests.ConnectionError("Name or service not known")

    monkeypatch.setattr(requests.adapters.HTTPAdapter, "send", unreachable)
    listed(source)
    refused("no connection", folder)
    assert not folder.exists()


def test_offline_mode_leaves_the_network_alone(world, folder, monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    listed(DRIVE, ADDRESS)
    refused("FEWLABELS_OFFLINE is set", folder)
    assert not world.asked


def test_a_known_hash_is_enforced(world, folder):
    listed(ADDRESS, sha256="0" * 64)
    refused("its SHA-256 begins with .* and 00000000 is recorded", folder)
    assert not folder.exists()


def test_the_hash_of_the_first_download_is_enforced_from_then_on(world, folder, encoder):
    listed(ADDRESS)
    fetch("vit", folder).unlink()
    world.files[WEB] = content_of(randomised(small_vit(), seed=1))
    refused("its SHA-256 begins with", folder)
    assert left_in(folder) == ["weights.lock.json"]


def test_a_cached_file_that_was_changed_is_named_and_kept(world, folder):
    listed(ADDRESS)
    path = fetch("vit", folder)
    path.write_bytes(path.read_bytes()[:-1])
    refused("is not the recorded vit", folder)
    assert path.exists()


def test_a_copy_put_there_by_hand_is_checked_and_locked(world, folder, encoder):
    listed(DRIVE)
    folder.mkdir()
    (folder / "vit.pth").write_bytes(content_of(encoder))
    fetch("vit", folder)
    assert not world.asked and registry.lock(folder)["vit"]["source"] == "by hand"


def test_weights_of_the_repository_need_no_network(world, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ROOT", tmp_path)
    own = save_encoder(build("slim", channels=1, image_size=16, width=4),
                       tmp_path / "weights" / "own.safetensors")
    listed({"file": "weights/own.safetensors"}, sha256=registry.sha256(own))
    assert fetch("vit", folder) == own and not world.asked


def test_an_unknown_name_is_answered_with_the_nearest_ones(world, folder):
    listed(DRIVE, name="byol-stl10")
    refused("no weights are called 'byol': perhaps byol-stl10", folder, "byol")


def test_a_folder_that_cannot_be_made_is_one_line(world, tmp_path):
    listed(ADDRESS)
    (tmp_path / "file").write_text("")
    refused("cannot use the folder", tmp_path / "file" / "cache")


def test_imagenet_weights_come_from_torchvisions_address(world, folder, monkeypatch):
    peer = randomised(build("resnet18", image_size=32, stem="imagenet", normalisation="imagenet"))
    file = io.BytesIO()
    torch.save(peer.backbone.state_dict(), file)
    world.files["download.pytorch.org/models/resnet18-f37072fd.pth"] = file.getvalue()
    listed({"torchvision": "ResNet18_Weights.IMAGENET1K_V1"}, name="imagenet-resnet18")
    read = pretrained("resnet18", 32, folder=folder)
    torch.testing.assert_close(read.eval()(some_images(peer)), peer(some_images(peer)))


def test_without_network_imagenet_weights_say_how_to_go_on(world, folder):
    listed({"torchvision": "ResNet18_Weights.IMAGENET1K_V1"}, name="imagenet-resnet18",
           file="r.pth")
    with pytest.raises(UserError, match="put your own copy at .*r.pth; or train from scratch"):
        pretrained("resnet18", 32, folder=folder)


def test_an_encoder_without_imagenet_weights_says_which_have_them():
    with pytest.raises(UserError, match="no ImageNet weights for 'slim': choose resnet18"):
        pretrained("slim", 16)


@pytest.fixture
def on_colab(monkeypatch, tmp_path):
    """A Colab kernel whose upload dialog gives what `uploads` holds."""
    uploads = {}
    files = types.ModuleType("google.colab.files")
    files.upload = lambda: uploads
    monkeypatch.setitem(sys.modules, "google.colab.files", files)
    for module in (fetching, colab):
        monkeypatch.setattr(module, "on_colab", lambda: True)
    monkeypatch.setattr(fetching, "in_notebook", lambda: True)
    monkeypatch.chdir(tmp_path)
    return uploads


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_on_colab_an_upload_is_offered_when_no_source_has_the_file(world, folder, encoder, on_colab,
                                                                   monkeypatch, answer):
    monkeypatch.setattr(choose, "on_colab", lambda: True)
    monkeypatch.setattr(choose, "in_notebook", lambda: True)
    monkeypatch.setattr(choose, "read_line", lambda prompt: answer)
    monkeypatch.setenv("FEWLABELS_WEIGHTS_DIR", str(folder))
    listed(DRIVE)
    world.moods[DRIVE_ID] = ["quota"]
    on_colab["mine.pth"] = content_of(encoder)
    if answer == "no":
        with pytest.raises(UserError, match="cannot be fetched .*put your own copy at"):
            Choice("listed", "vit").encoder("", 32, 3)
        return
    assert Choice("listed", "vit").encoder("", 32, 3).num_features == encoder.num_features
    assert (folder / "vit.pth").read_bytes() == content_of(encoder)


def test_an_upload_that_holds_no_weights_is_refused_and_removed(on_colab, tmp_path):
    on_colab["page.html"] = b"<html>"
    with pytest.raises(UserError, match="page.html: .*a web page"):
        upload(tmp_path / "mine.pth")
    assert not (tmp_path / "mine.pth").exists()


def test_an_upload_elsewhere_than_on_colab_says_where_to_put_the_file(tmp_path):
    with pytest.raises(UserError, match="on Colab only: put yours at"):
        upload(tmp_path / "mine.pth")


def test_every_entry_of_the_manifest_is_complete_and_names_its_sources():
    for entry in registry.entries().values():
        assert entry.what and entry.command and entry.licence and entry.sources
        assert all(kind in ("file", "drive", "drive_folder", "torchvision", "url", "name")
                   for source in entry.sources for kind in source)


def test_the_hashes_of_torchvisions_files_are_those_in_its_addresses():
    from torchvision.models import get_weight

    for entry in registry.entries().values():
        for source in entry.sources:
            if "torchvision" in source:
                assert get_weight(source["torchvision"]).url.endswith(f"-{entry.sha256[:8]}.pth")
                assert len(entry.sha256) in (8, 64)
                assert get_weight(source["torchvision"]).url.endswith(f"/{entry.file}")


def test_torchvisions_accuracies_and_recipes_are_those_it_documents():
    from torchvision.models import get_weight

    for entry in registry.entries().values():
        for meta in (get_weight(source["torchvision"]).meta
                     for source in entry.sources
                     if "torchvision" in source):
            assert entry.accuracy == {
                "ImageNet top-1": pytest.approx(meta["_metrics"]["ImageNet-1K"]["acc@1"] / 100)
            }
            assert entry.command.endswith(meta["recipe"])


def test_a_released_checkpoint_is_copied_and_listed_with_what_it_says_of_itself(
        monkeypatch, tmp_path):
    path = save_encoder(build("slim", channels=1, image_size=16,
                              width=4), tmp_path / "e.safetensors", method="byol", dataset="digits",
                        command="python -m helpers pretrain byol")
    target = tmp_path / "weights" / "manifest.json"
    target.parent.mkdir()
    target.write_text("{}")
    monkeypatch.setattr(registry, "MANIFEST", target)
    registry.release(path, "digits-byol", what="BYOL on digits")
    (entry,) = registry.entries().values()
    assert (entry.method, entry.dataset, entry.sha256) == ("byol", "digits", registry.sha256(path))
    assert (target.parent / entry.file).read_bytes() == path.read_bytes()


def test_a_release_changes_its_own_entry_alone_and_keeps_what_it_is_good_for(monkeypatch, tmp_path):
    before = json.loads(registry.MANIFEST.read_text(encoding="utf-8"))
    target = tmp_path / "weights" / "manifest.json"
    target.parent.mkdir()
    shutil.copy(registry.MANIFEST, target)
    monkeypatch.setattr(registry, "MANIFEST", target)
    encoder = build("slim", channels=1, image_size=16, width=4)
    registry.release(save_encoder(encoder, tmp_path / "e.safetensors"), "byol-slim-digits")
    after = json.loads(target.read_text(encoding="utf-8"))
    assert {name for name in after if after[name] != before[name]} == {"byol-slim-digits"}
    assert after["byol-slim-digits"]["good_for"] == before["byol-slim-digits"]["good_for"] != ""


def test_a_resnet_is_released_in_half_precision_and_not_in_full(world, tmp_path):
    encoder = build("resnet18", channels=3, image_size=96).eval()
    path = save_encoder(encoder, tmp_path / "e.safetensors", method="byol", torch="2.6")
    registry.MANIFEST.write_text("{}")
    with pytest.raises(UserError, match="takes 42 MB.*25 MB only; try --half"):
        registry.release(path, "byol-resnet")
    assert sorted(
        p.name for p in registry.MANIFEST.parent.iterdir()) == ["e.safetensors", "manifest.json"]
    entry = registry.release(path, "byol-resnet", half=True)
    kept = load_encoder(registry.MANIFEST.parent / entry.file).eval()
    images = torch.rand(2, 3, 96, 96) * 2 - 1
    assert 0.45 < entry.bytes / path.stat().st_size < 0.55
    assert (kept.meta["method"], kept.meta["torch"]) == ("byol", "2.6")
    assert next(kept.parameters()).dtype == torch.float32
    torch.testing.assert_close(kept(images), encoder(images), rtol=0.01, atol=0.01)


@pytest.mark.parametrize(("name", "source"), [("Two Words", {}), ("../byol", {}), ("", {}),
                                              ("vit", {"url": "https://elsewhere/vit.pth"})])
def test_a_release_takes_no_odd_name_and_none_of_somebody_elses(name, source, world, tmp_path):
    path = save_encoder(build("slim", channels=1, image_size=16, width=4),
                        tmp_path / "e.safetensors")
    listed(source)
    before = registry.MANIFEST.read_text()
    with pytest.raises(UserError, match="cannot be a new name"):
        registry.release(path, name)
    assert registry.MANIFEST.read_text() == before and sorted(
        p.name for p in tmp_path.iterdir()) == ["e.safetensors", "manifest.json"]


def test_what_the_repository_releases_is_whole_and_says_of_itself_what_the_list_says(
        tmp_path, monkeypatch):
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")
    released = [entry for entry in registry.entries().values() if registry.kept(entry)]
    assert {"byol-slim-digits"} <= {entry.name for entry in released}
    for entry in released:
        path = fetch(entry.name, tmp_path)
        encoder = load_encoder(path)
        assert (path.stat().st_size, registry.sha256(path)) == (entry.bytes, entry.sha256)
        assert (encoder.name, encoder.meta["method"], encoder.meta["dataset"],
                encoder.meta["epochs"], encoder.meta["command"]) == (entry.encoder, entry.method,
                                                                     entry.dataset, entry.epochs,
                                                                     entry.command)
        assert entry.accuracy and entry.licence and entry.bytes <= registry.LARGEST_BYTES
    assert sum(entry.bytes for entry in released) <= 64 << 20
    assert not list(tmp_path.iterdir())


def test_a_self_learner_checkpoint_goes_from_drive_to_features_by_its_name(world, folder):
    peer = randomised(build("resnet18", image_size=32, stem="imagenet", normalisation="imagenet"))
    file = io.BytesIO()
    torch.save(self_learner(as_sequential(peer)), file)
    world.files[DRIVE_ID] = file.getvalue()
    listed(DRIVE)
    read, report = read_weights(fetch("vit", folder), image_size=32)
    torch.testing.assert_close(read.eval()(some_images(peer)), peer(some_images(peer)))
    assert report.place == "net/backbone."

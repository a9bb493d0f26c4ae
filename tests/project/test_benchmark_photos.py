"""The benchmark on photographs: what is counted, who has a turn, what a run leaves behind."""

import argparse
import itertools
import json
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from image_folders import make_folder
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.models.encoder import build
from helpers.models.weights.checkpoint import load_encoder, save_encoder
from helpers.models.weights.hub import fetch
from helpers.report import plots

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import imagenette  # noqa: E402
from benchmarks.photos import (  # noqa: E402
    clock,
    data,
    labels,
    peer,
    protocols,
    race,
    runs,
    search,
    whitened,
)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A folder of small images with settings and splits for it."""
    root = tmp_path_factory.mktemp("photos")
    folder = make_folder(root / "photos", parts=("train", "val"), each=20)
    settings = data.settings_for(str(folder), data_dir=root / "data", batch_size=8, draws=2)
    return str(folder), data.photographs(str(folder), settings), settings


def work(seconds: float) -> None:
    until, later = time.process_time() + seconds, time.perf_counter() + seconds
    while time.process_time() < until or time.perf_counter() < later:
        pass


def test_a_clock_counts_work_and_no_breaks():
    counted = clock.Clock()
    counted.on_train_start()
    work(0.1)
    with counted.paused():
        work(0.3)
    work(0.1)
    counted.on_train_end()
    assert 0.2 <= counted.cpu < 0.28 and counted.wall >= 0.2
    again = clock.Clock()
    again.load_state_dict(counted.state_dict())
    assert (again.cpu, again.wall) == (counted.cpu, counted.wall)


def test_contenders_run_one_after_the_other(tmp_path):
    said = tmp_path / "said"
    code = ("import sys, time; time.sleep(float(sys.argv[2])); "
            "open(sys.argv[3], 'a').write(sys.argv[1])")
    race.one_by_one([[sys.executable, "-c", code, name, seconds, str(said)]
                     for name, seconds in (("a", "0.3"), ("b", "0"))])
    assert said.read_text() == "ab"


def test_a_contender_that_fails_is_one_line_and_the_next_is_not_begun(tmp_path):
    touch = f"open({str(tmp_path / 'begun')!r}, 'w')"
    with pytest.raises(UserError, match="start the same line again"):
        race.one_by_one([[sys.executable, "-c", "raise SystemExit(3)"],
                         [sys.executable, "-c", touch]])
    assert not (tmp_path / "begun").exists()


def test_a_race_trains_each_contender_and_none_that_has_ended(images, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(race, "one_by_one", begun.extend)
    options = argparse.Namespace(
        folder=images[0], device="cpu", contenders=["BYOL", "DINO"], seeds=[0, 1], minutes=3.0,
        size=48, out="runs", results=tmp_path, protocols=["knn"])
    (tmp_path / "imagenette-dino-slim-48px-3min-seed1.json").write_text(
        json.dumps(dict(settings={})))
    imagenette.race_all(options)
    monkeypatch.setattr(sys, "argv", ["imagenette.py", *begun[2][2:]])
    again = imagenette.parsed()
    assert len(begun) == 3 and (again.method, again.seed, again.minutes) == ("byol", 1, 3.0)
    assert again.protocols == ["knn"] and again.results == tmp_path and again.epochs == 60


@pytest.mark.parametrize("method", ["byol", "noise-byol", "dino", runs.PEER])
def test_every_method_trains_for_its_epochs_and_is_read_back_when_it_has_ended(
        method, images, tmp_path, monkeypatch):
    monkeypatch.setattr(peer, "BATCH", 8)
    folder, splits, settings = images
    run = runs.train(method, folder, splits, settings, out=tmp_path, epochs=1.0)
    assert run.steps == len(run.losses) == round(len(splits.unlabeled) / 8) and run.path.exists()
    assert [run.curve[0]["step"], run.curve[-1]["step"]] == [0, run.steps]
    assert 0 < run.curve[-1]["cpu_seconds"] <= run.clock.cpu
    # the plan stands
    again = runs.train(method, folder, splits, settings, out=tmp_path, epochs=9.0)
    assert (again.steps, again.losses, again.clock.cpu) == (run.steps, run.losses, run.clock.cpu)


def test_a_training_goes_on_from_listed_weights(images, tmp_path):
    folder, splits, settings = images
    fine, start = settings.replace(encoder="slim_fine"), "byol-slim-imagenette"
    module, loader, recipe = runs.parts("byol", folder, splits, fine, 1, start)
    begun = {name: value.clone() for name, value in module.encoder.state_dict().items()}
    old = load_encoder(fetch(start)).state_dict()
    kept = [name for name in old if not name.startswith("backbone.stem.0")]
    assert all(torch.equal(begun[name], old[name]) for name in kept)
    assert (module.encoder.name, recipe["lr"], loader.steps) == ("slim_fine", 1e-3, 1)
    run = runs.train("byol", folder, splits, fine, out=tmp_path, epochs=1.0, start=start)
    assert load_encoder(run.path).meta["start"] == start


def test_a_training_from_weights_has_cost_what_they_have():
    cost = data.before("byol-slim-imagenette")
    assert 35 < cost["minutes"] < 45 and cost["epochs"] > 100
    assert set(data.before("").values()) == {0.0}
    with pytest.raises(UserError, match="byol-other.*byol-slim-imagenette"):
        data.before("byol-other")


def test_minutes_buy_steps_by_what_a_step_costs(images, monkeypatch):
    monkeypatch.setattr(runs, "TRIAL", 16)
    folder, splits, settings = images
    few, many = (runs.planned_steps("byol", folder, splits, settings, None, minutes)
                 for minutes in (0.05, 1.0))
    assert 1 <= few < many


def test_the_peer_trains_on_the_training_images_alone(images, monkeypatch):
    folder, splits, _ = images
    loader = peer.FileLoader(folder, splits, steps=3, seed=0)
    names = {Path(name).relative_to("train").as_posix() for name in splits.names["train"]}
    assert set(loader.files.get_filenames()) == names and len(names) == len(splits.unlabeled) < 40
    monkeypatch.setattr(peer, "BATCH", 8)
    monkeypatch.setattr(peer, "cores", lambda: 2)
    loader = peer.FileLoader(folder, splits, steps=3, seed=0, device="mps")  # with workers
    assert [view.shape for views in loader for view in views] == [(8, 3, 48, 48)] * 6


def test_the_peers_loss_is_byols_and_its_target_gets_no_gradient(images):
    _, splits, settings = images
    torch.manual_seed(0)
    module = peer.LightlyBYOL(peer.encoder_for(settings), steps=4)
    views = [torch.randn(8, 3, 48, 48) for _ in range(2)]
    loss = module.training_step(views, 0)
    loss.backward()
    online = [module.predictor(module.projector(module.encoder.backbone(view))) for view in views]
    target = [
        module.target_projector(module.target_encoder.backbone(view)) for view in reversed(views)
    ]
    wanted = -sum(F.cosine_similarity(a, b).mean() for a, b in zip(online, target, strict=True)) / 2
    torch.testing.assert_close(loss, wanted, atol=1e-4, rtol=1e-3)
    assert all(p.grad is None
               for part in (module.target_encoder, module.target_projector)
               for p in part.parameters())


def test_the_peer_has_torchvisions_resnet_with_imagenets_stem_and_its_input(images):
    encoder = peer.encoder_for(images[2].replace(encoder="resnet18"))
    assert encoder.backbone.conv1.kernel_size == (7, 7) and encoder.normalisation == "imagenet"


def test_a_run_is_kept_with_what_made_it_and_without_this_machines_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", [
        f"{tmp_path}/imagenette.py", "train", f"{tmp_path}/imagenette160", "--seed", "3"
    ])
    data.keep("run", dict(seed=3), [dict(protocol="kNN", mean=0.5)], tmp_path,
              cost=dict(cpu_seconds=7))
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["command"] == "python benchmarks/imagenette.py train imagenette160 --seed 3"
    assert record["settings"]["seed"] == 3 and record["cost"]["cpu_seconds"] == 7
    assert {"torch", "lightly"} <= record["versions"].keys() and "chip" in record["machine"]
    assert str(tmp_path) not in (tmp_path / "run.json").read_text()
    assert pd.read_csv(tmp_path / "run.csv").to_dict("records") == [dict(protocol="kNN", mean=0.5)]


def test_every_protocol_gives_rows_of_a_file_that_was_named(images, tmp_path, monkeypatch):
    monkeypatch.setattr(protocols, "STEPS", {1: 2, 10: 2, 0: 2})
    monkeypatch.setattr(protocols, "SHARES", {"10 %": 2, "100 %": 2})
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    path = save_encoder(build("slim", channels=3, image_size=48), tmp_path / "own.safetensors",
                        method="byol")
    options = argparse.Namespace(folder=images[0], weights=str(path), seed=0, draws=2, device="cpu",
                                 results=tmp_path, protocols=list(protocols.PROTOCOLS))
    imagenette.evaluate(options)
    table = pd.read_csv(tmp_path / "imagenette-own.csv")
    assert {
        "kNN, k = 20", "kNN, k = 200", "linear probe", "MLP 512-128",
        "fine-tuned, 10 % of the labels", "fine-tuned, 100 % of the labels", "linear, noisy images"
    } == set(table.protocol)
    assert set(table.method) == {"BYOL"} and table["mean"].between(0, 1).all()
    assert table.sigma.dropna().tolist() == list(protocols.SIGMAS)


def test_a_whitened_file_holds_each_power_of_the_weights_that_were_named(
        images, tmp_path, monkeypatch):
    monkeypatch.setattr(whitened, "COUNTS", (1,))
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    path = save_encoder(build("slim", channels=3, image_size=48), tmp_path / "own.safetensors",
                        method="byol")
    imagenette.compare_whitened(argparse.Namespace(
        folder=images[0], weights=str(path), seed=0, draws=2, device="cpu", results=tmp_path))
    table = pd.read_csv(tmp_path / "whitened-own.csv")
    assert table.power.unique().tolist() == list(whitened.POWERS)
    assert table.protocol.tolist()[:3] == ["kNN, k = 20", "kNN, k = 200", "linear probe"]
    encoder, splits, settings = load_encoder(path).eval(), images[1], images[2]
    plain = next(protocols.knn(encoder, splits, settings))["mean"]
    assert table["mean"][0] == pytest.approx(plain, abs=0.051)  # centred, else as they are


def test_whitening_makes_directions_alike_and_leaves_out_those_without_any_variance():
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([10.0, 1.0, 0.1, 0.0])
    features = torch.randn(500, 4, generator=generator) * spread + 3
    axes = PCA().fit(features.numpy())
    for power, wanted in ((0.0, spread[:3]), (0.5, spread[:3].sqrt()), (1.0, torch.ones(3))):
        made = whitened.whitened(features, axes, power)
        torch.testing.assert_close(made.std(0).float(), wanted, rtol=0.1, atol=0.0)
        assert made.mean(0).abs().max() < 1e-3


def test_the_search_changes_one_thing_at_a_time_and_goes_on_where_it_stopped(
        images, tmp_path, monkeypatch):
    changed = [
        sum(a[key] != b[key]
            for key in a)
        for (_, a), (_, b) in itertools.pairwise(search.candidates())
    ]
    assert changed[:len(search.STEPS_TO_IT) - 1] == [1] * (len(search.STEPS_TO_IT) - 1)
    monkeypatch.setattr(search, "ALTERNATIVES", [])
    monkeypatch.setattr(search, "STEPS_TO_IT", search.STEPS_TO_IT[:1])
    search.search(images[1], tmp_path, steps=2)
    monkeypatch.setattr(search, "trial", lambda *_: pytest.fail("run again"))
    search.search(images[1], tmp_path, steps=2)
    table = pd.read_csv(tmp_path / "imagenette-search.csv")
    assert table.change.tolist() == [table.change[0], *["random encoder"] * 3, *["plain"] * 3]
    assert table.knn.between(0, 1).all() and table.seed.tolist()[1:] == [0, 1, 2] * 2
    assert (tmp_path / "imagenette-search.png").exists()
    with pytest.raises(UserError, match="another length.*--results"):
        search.search(images[1], tmp_path, steps=4)


def test_the_side_by_side_table_holds_every_run_with_a_budget(tmp_path):
    for (method, encoder), seconds in zip(race.CONTENDERS["cpu"].values(), (60, 120, 180, 240),
                                          strict=True):
        record = dict(
            settings=dict(method=method, encoder=encoder, minutes=3.0, seed=0,
                          size=48), cost=dict(cpu_seconds=seconds, seconds=2 * seconds, epochs=1.5),
            machine=dict(chip="A"), curve=[
                dict(cpu_seconds=0, seconds=0, knn=0.3),
                dict(cpu_seconds=seconds, seconds=1, knn=0.4)
            ], results=[dict(protocol="kNN, k = 20", labels_per_class="all", mean=0.4)])
        (tmp_path / f"imagenette-{method}-{encoder}.json").write_text(json.dumps(record))
    table = race.summarise(tmp_path)
    assert sorted(table.minutes) == [1, 2, 3, 4] and set(table.contender) == set(
        race.CONTENDERS["cpu"])
    assert len(pd.read_csv(
        tmp_path / f"{race.NAME}-curves.csv")) == 8 and (tmp_path / f"{race.NAME}.png").exists()


def raced(folder: Path, device: str, method: str, seed: int = 0, pixels: int = 48) -> None:
    """The record of a training of three minutes, by the wall twice as many seconds as those of the
    CPU."""
    cost, encoder = dict(cpu_seconds=180, seconds=360,
                         epochs=1.5), "slim" if device == "cpu" else "resnet18"
    if device != "cpu":
        cost["minutes"] = 6.0
    record = dict(
        settings=dict(method=method, encoder=encoder, minutes=3.0, seed=seed, size=pixels),
        cost=cost, machine=dict(chip="A", device=device), curve=[dict(cost, knn=0.4)],
        results=[dict(protocol="kNN, k = 20", labels_per_class="all", mean=0.4)])
    (folder / f"imagenette-{method}-{device}-{pixels}-seed{seed}.json").write_text(
        json.dumps(record))


def test_a_gpu_races_with_gpus_alone_and_its_minutes_are_those_by_the_wall(tmp_path):
    for method in ("byol", "dino"):
        raced(tmp_path, "cpu", method)
        raced(tmp_path, "cuda", method, pixels=128)
    raced(tmp_path, "cuda", runs.PEER, pixels=96)  # without a rival
    table = race.summarise(tmp_path)
    assert sorted(zip(table.device, table.pixels, table.minutes, strict=True)) == [
        ("cpu", 48, 3), ("cpu", 48, 3), ("cuda", 128, 6), ("cuda", 128, 6)]
    raced(tmp_path, "cuda", "byol", seed=1, pixels=128)
    assert race.shown_race(race.gathered(tmp_path)[0]) == ("cuda", "A", 128, 3)


def test_the_longest_race_is_drawn():
    rows = [dict(device="cpu", chip="A", pixels=48, budget=budget, contender=name, seed=seed)
            for budget, names in ((5, "abc"), (30, "ab")) for name in names for seed in range(3)]
    assert race.shown_race(pd.DataFrame(rows)) == ("cpu", "A", 48, 30)


def test_where_nobody_had_a_rival_there_is_no_race_and_where_nothing_is_nothing_to_draw(tmp_path):
    with pytest.raises(UserError, match="no results in"):
        imagenette.draw(argparse.Namespace(results=tmp_path))
    raced(tmp_path, "cpu", "byol")
    imagenette.draw(argparse.Namespace(results=tmp_path))
    assert race.summarise(tmp_path).empty and not list(tmp_path.glob("*side-by-side*"))


def test_what_train_wrote_is_called_after_its_folder():
    assert imagenette.named(
        "runs/imagenette-byol-seed3/encoder.safetensors") == "imagenette-byol-seed3"
    assert imagenette.named("byol-slim-imagenette") == imagenette.named(
        "a/byol-slim-imagenette.safetensors")


def test_a_clock_of_a_gpu_counts_seconds_by_the_wall_and_waits_for_its_work_where_it_is_read(
        monkeypatch):
    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waited.append(1))
    counted = clock.Clock("cuda")
    counted.on_train_start()
    time.sleep(0.1)
    counted.on_train_batch_end()
    assert len(waited) == 1  # at the start, and not at every step
    counted.on_train_end()
    assert len(waited) == 2 and counted.spent == counted.wall >= 0.1 > counted.cpu
    assert clock.spent("cpu", 1.0, 2.0) == 1.0 and clock.unit("cpu") != clock.unit("cuda")


def test_a_device_has_its_own_settings_and_its_runs_their_own_names(images, monkeypatch):
    monkeypatch.setattr("helpers.common.machine.has_cuda", lambda: True)
    on = {device: data.settings_for(images[0], device=device) for device in ("auto", "cpu")}
    assert [(s.device, s.encoder, s.image_size, s.preset) for s in on.values()] == [
        ("cuda", "resnet18", 128, "full"), ("cpu", "slim", 48, "quick")]
    names = [imagenette.run_name("byol", settings, 10.0) for settings in on.values()]
    assert names == [
        "imagenette-byol-resnet18-128px-10min-cuda-seed0", "imagenette-byol-slim-48px-10min-seed0"
    ]
    monkeypatch.setattr("helpers.common.machine.has_cuda", lambda: False)
    assert data.settings_for(images[0], device="auto").device == "cpu"


def test_all_seeds_of_a_long_training_are_in_one_figure(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plots, "curves", lambda lines, *said, **more: drawn.append(
        (lines, said, more)) or Figure())
    for seed in (0, 1):
        results = [
            dict(protocol="kNN, k = 20", mean=0.5 + seed / 10),
            dict(protocol="kNN, k = 200", mean=0.9)
        ]
        record = dict(settings=dict(method="byol", encoder="slim", minutes=40, seed=seed, size=48),
                      results=results, cost=dict(epochs=9 + 2 * seed), machine={},
                      curve=[dict(cpu_seconds=seconds, knn=0.3) for seconds in (0, 2400)])
        (tmp_path / f"imagenette-byol-40min-seed{seed}.json").write_text(json.dumps(record))
    short = record | dict(curve=[dict(cpu_seconds=100, knn=0.3)])
    (tmp_path / "imagenette-byol-3min-seed0.json").write_text(json.dumps(short))
    runs.draw(tmp_path)
    assert [path.name for path in tmp_path.glob("*.png")] == ["imagenette-byol-40min.png"]
    [(lines, (unit, _, title), more)] = drawn
    assert lines == {f"BYOL, seed {seed}": ([0, 40], [0.3, 0.3])
                     for seed in (0, 1)} and "CPU" in unit
    assert "about 10 epochs" in title and more["note"].endswith(
        "on test: 50.0% (seed 0), 60.0% (seed 1)")


@pytest.mark.parametrize("contenders", [["BYOL"], ["BYOL", "BYOL, ResNet18"]])
def test_a_race_names_who_may_run(images, contenders, tmp_path):
    options = argparse.Namespace(folder=images[0], device="cpu", contenders=contenders, seeds=[0],
                                 results=tmp_path)
    with pytest.raises(UserError, match="'BYOL', 'DINO'.*`train`"):
        imagenette.race_all(options)


@pytest.mark.slow
def test_the_comparison_goes_on_where_it_stopped(images, tmp_path, monkeypatch):
    folder, splits, settings = images
    for module in (protocols, labels):
        monkeypatch.setattr(module, "STEPS", {1: 2, 10: 2, 0: 2})
    encoder = runs.train("byol", folder, splits, settings, out=tmp_path / "run", epochs=1.0).encoder
    monkeypatch.setattr(labels, "LONG_STEPS", 3)
    table = labels.compare(encoder, splits, settings, tmp_path, "labels")
    assert set(table.method) == {labels.FEATURES, labels.PIXELS, labels.TUNED, labels.SCRATCH,
                                 labels.long(labels.TUNED), labels.long(labels.SCRATCH)}
    assert table["mean"].between(0, 1).all() and (tmp_path / "labels.png").exists()
    text = (tmp_path / "labels.csv").read_text().splitlines(keepends=True)
    (tmp_path / "labels.csv").write_text("".join(text[:-1]))
    asked = []
    once = labels.few_label_training
    monkeypatch.setattr(
        labels, "few_label_training",
        lambda *given, **options: asked.append(given[3].steps) or once(*given, **options))
    assert list(labels.compare(encoder, splits, settings, tmp_path,
                               "labels").method) == list(table.method)
    assert asked == [3]  # the line that was missing, and no other


def test_a_missing_folder_is_one_line(tmp_path):
    words = [sys.executable, ROOT / "benchmarks" / "imagenette.py", "train", "nowhere"]
    done = subprocess.run(words, cwd=tmp_path, text=True, capture_output=True)
    assert done.returncode and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_missing_weights_are_one_line(tmp_path, monkeypatch):
    words = ["imagenette.py", "labels", str(tmp_path), "--weights", "nothing-like-it"]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit, match=r"\Aerror: .*'nothing-like-it'.*\Z"):
        imagenette.main()

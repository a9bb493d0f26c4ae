"""Ten minutes of a GPU: every stage runs, a failure hides nothing, a cut loses nothing."""

import json
import os
import runpy
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from pathlib import Path

import pytest
import torch
from image_folders import make_folder

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks import gpu, gpu_pack, imagenette, throughput  # noqa: E402
from benchmarks.on_gpu import record, sizes, speed  # noqa: E402
from helpers.common.errors import UserError  # noqa: E402
from helpers.methods.lars import LARS  # noqa: E402
from helpers.models.encoder import build  # noqa: E402
from helpers.models.weights.checkpoint import load_encoder  # noqa: E402
from helpers.report import tables  # noqa: E402
from helpers.settings import PRESETS  # noqa: E402
from scripts.measured import read_results  # noqa: E402


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of small images."""
    monkeypatch.setenv("FEWLABELS_DATA_DIR", str(tmp_path / "data"))
    return make_folder(tmp_path / "photos", parts=("train", "val"), each=20)


def summary(out):
    return json.loads((out / "summary.json").read_text())


def failures(facts):
    """All that went wrong, of any stage."""
    return {(stage, name): value for stage, each in facts.items() for name, value in each.items()
            if name in ("error", "skipped") or str(value).startswith("failed")}


@pytest.fixture
def few_steps(monkeypatch):
    """Speeds of fewer and smaller batches than those that are worth comparing."""
    monkeypatch.setattr(throughput, "WARM_UP", 1)
    monkeypatch.setattr(speed, "TRIAL", 256)
    monkeypatch.setitem(PRESETS["gpu"], "batch_size", 16)


def test_all_stages_run_on_a_cpu_and_leave_encoders_that_load(photos, tmp_path, few_steps):
    out = tmp_path / "out"
    gpu.main([str(photos), "--out", str(out), "--small", "--seconds", "3000"])
    facts = summary(out)
    assert facts["facts"]["machine"]["threads"] == 1
    assert facts.keys() >= set(gpu.STAGES) and failures(facts) == {}
    assert all(rate if isinstance(rate, list) else rate > 0
               for rate in facts["side by side"].values())
    ratio, = facts["side by side"]["byol, ours to textbook"]
    rates = [facts["side by side"][f"byol, {name}, round 1, images/s"]
             for name in ("ours", "textbook")]
    assert ratio == pytest.approx(rates[0] / rates[1], abs=0.01)
    for name in gpu.SHARES:
        assert 0 <= facts[name]["test kNN, k = 20"] <= 1
        whole = tmp_path / f"{name}.safetensors"
        whole.write_bytes(record.joined(out, name))
        meta = load_encoder(whole).meta
        assert meta["steps"] == facts[name]["curve"][-1]["step"]
        assert meta["epochs"] == round(facts[name]["epochs"])
        assert meta["command"] == facts["facts"]["command"]


def test_what_a_gpu_trained_is_measured_elsewhere_and_kept_with_its_machine(photos, tmp_path,
                                                                            monkeypatch):
    out = tmp_path / "out"
    gpu.main([str(photos), "--out", str(out), "--small", "--only", "dino", "--with-val",
              "--set", "batch_size=4", "temperature=0.05,0.05"])
    facts = summary(out)
    assert facts["dino"]["recipe"]["temperature"] == [0.05, 0.05]
    assert facts["dino"]["recipe"]["batch_size"] == 4
    parts = facts["facts"]["images"]
    assert facts["dino"]["images"] == 40 and "34 images" in parts and "6 images" in parts
    facts["facts"]["machine"] |= dict(device="cuda", chip="GPU of another house")
    (out / "summary.json").write_text(json.dumps(facts))
    words = ["imagenette.py", "gpu", str(photos), "--run", str(out), "--protocols", "knn",
             "--results", str(tmp_path / "results")]
    monkeypatch.setattr(sys, "argv", words)
    imagenette.main()
    (path,) = (tmp_path / "results").glob("imagenette-dino-slim-48px-*epochs-cuda-seed0.json")
    kept = json.loads(path.read_text())
    assert kept["machine"]["chip"] == "GPU of another house"
    assert kept["results"][0]["mean"] == pytest.approx(facts["dino"]["test kNN, k = 20"], abs=0.03)
    assert kept["cost"]["minutes"] == facts["dino"]["curve"][-1]["seconds"] / 60
    table = read_results(tmp_path / "results")
    assert set(table.encoder) == {"slim on a GPU"} and set(table.method) == {"DINO"}
    assert len(tables.photographs(table.assign(dataset="imagenette"))[0]) == 2
    monkeypatch.setattr(sys, "argv", [*words, "--stage", "byol"])
    with pytest.raises(SystemExit, match="has no weights of byol"):
        imagenette.main()
    (out / "summary.json").unlink()
    with pytest.raises(SystemExit, match="no summary.json of benchmarks/gpu.py"):
        imagenette.main()


@pytest.mark.parametrize("words", [["lr"], ["lr=fast"], ["rate=1"]])
def test_a_field_that_is_none_is_refused_before_anything_is_trained(words, photos, tmp_path,
                                                                    monkeypatch, capsys):
    line = ["gpu.py", str(photos), "--small", "--out", str(tmp_path / "out"), "--only", "byol",
            "--set", *words]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:  # any other exception is a traceback
        runpy.run_path(str(ROOT / "benchmarks" / "gpu.py"), run_name="__main__")
    said = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2 and words[0].split("=")[0] in said[-1]


def test_without_lightly_the_pack_says_what_to_do(monkeypatch, tmp_path):
    def missing(name):
        raise gpu_pack.PackageNotFoundError(name)

    monkeypatch.setattr(gpu_pack, "version", missing)
    with pytest.raises(UserError, match="lightly is not installed here"):
        gpu_pack.fetch_wheel(tmp_path)


def test_the_code_that_is_carried_is_small():
    assert 0 < gpu_pack.code_bytes() < 5 << 20


def test_a_run_that_is_killed_has_kept_what_it_knew(photos, tmp_path):
    out = tmp_path / "out"
    run = subprocess.Popen([sys.executable, str(ROOT / "benchmarks" / "gpu.py"), str(photos),
                            "--out", str(out), "--small", "--only", "paths"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while run.poll() is None and '"BYOL, ' not in read_or_nothing(out / "summary.json"):
            time.sleep(0.05)
    finally:
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
    assert "loss" in summary(out)["paths"]["BYOL, 32-true"]


def read_or_nothing(path):
    return path.read_text() if path.exists() else ""


def test_a_stage_that_fails_or_finds_no_time_does_not_keep_the_next_from_its_turn(tmp_path):
    kept = record.Record(tmp_path, 100)
    assert kept.run("first", 1, lambda: 1 / 0) is None
    assert kept.run("second", 1000, lambda: 7) is None
    assert kept.run("third", 1, lambda: 7) == 7
    facts = summary(tmp_path)
    assert "ZeroDivisionError" in facts["first"]["error"]
    assert "1000 needed" in facts["second"]["skipped"] and "seconds" in facts["third"]


def test_weights_come_in_parts_and_the_last_ones_stay_until_the_new_are_named(tmp_path,
                                                                             monkeypatch):
    monkeypatch.setattr(record, "PART", 100_000)
    kept = record.Record(tmp_path, 100)
    encoder = build("slim", channels=3, image_size=32)
    kept.keep("byol", encoder, steps=1)
    first = set(tmp_path.glob("byol-1.*"))
    assert len(first) > 1 and max(path.stat().st_size for path in first) == 100_000
    whole = record.joined(tmp_path, "byol")
    monkeypatch.setattr(kept, "add", lambda *_, **__: 1 / 0)  # the cut comes before the summary
    with pytest.raises(ZeroDivisionError):
        kept.keep("byol", encoder, steps=2)
    assert record.joined(tmp_path, "byol") == whole
    monkeypatch.undo()
    kept.keep("byol", encoder, steps=3)
    assert not set(tmp_path.glob("byol-1.*"))


def test_deepminds_recipe_is_lars_with_their_numbers(photos, tmp_path):
    options = gpu.parsed([str(photos), "--out", str(tmp_path), "--small"])
    module = sizes.deepmind(gpu.task_of(options), 100)
    made = module.configure_optimizers()["optimizer"]
    decays = [group["weight_decay"] for group in made.param_groups]
    assert isinstance(made, LARS) and decays == [1e-6, 0.0]
    assert module.recipe.lr == 2.0 * sizes.SMALL.batch / 256 and module.recipe.ema == 0.99
    views = [torch.rand(4, 3, 32, 32) for _ in range(2)]
    module.eval()
    same = module.loss(*views).item()
    assert same == pytest.approx(4 * (1 + super(type(module), module).loss(*views).item()))


def test_the_quickest_way_that_trains_the_same_goes_on(photos, tmp_path, monkeypatch):
    rates = {"as it is": 10.0, "fp16": 12.0, "twice the batch": 99.0, "fp32": 5.0}
    monkeypatch.setattr(speed, "variant_rate", lambda task, variant: rates[variant.name])
    monkeypatch.setattr(speed, "precision", lambda device: "bf16-mixed")
    task = gpu.task_of(gpu.parsed([str(photos), "--out", str(tmp_path), "--small"]))
    on_gpu = task._replace(settings=task.settings.replace(device="cuda"))
    variant, rate = speed.variants(record.Record(tmp_path / "out", 100), on_gpu)
    assert (variant.name, rate) == ("fp16", 12.0)


def test_images_are_packed_as_they_are_and_the_size_is_checked(photos, tmp_path, monkeypatch):
    tar, out = tmp_path / "photos.tar", tmp_path / "packed"
    with tarfile.open(tar, "w") as archive:
        archive.add(photos, arcname=".")
    out.mkdir()
    (out / "lightly-1.6.0-py3-none-any.whl").write_bytes(b"wheel")
    gpu_pack.main([str(tar), "--out", str(out)])
    with zipfile.ZipFile(out / "photos.zip") as packed:
        assert packed.read("train/ant/3.png") == (photos / "train/ant/3.png").read_bytes()
        assert {each.compress_type for each in packed.infolist()} == {zipfile.ZIP_STORED}
    monkeypatch.setattr(gpu_pack, "MOST", 1000)
    with pytest.raises(UserError, match="pack fewer images"):
        gpu_pack.check_size(out, 0)


@pytest.mark.parametrize("content", [None, b"no tar"])
def test_what_is_no_tar_is_one_line_and_leaves_no_zip(content, tmp_path):
    tar = tmp_path / "photos.tar"
    if content:
        tar.write_bytes(content)
    with pytest.raises(UserError, match="cannot be packed") as caught:
        gpu_pack.pack_images(tar, tmp_path / "photos.zip")
    assert "\n" not in str(caught.value) and not list(tmp_path.glob("*.zip"))

"""Where a setting comes from, and what is said when it cannot be used."""

import dataclasses
import re
from pathlib import Path

import pytest
from running import without_choices

import helpers
from helpers.common.errors import UserError
from helpers.common.names import ENCODERS
from helpers.settings import ALL_LABELS, PRESETS, Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    without_choices(monkeypatch)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)


def gpu(monkeypatch, network: bool):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("helpers.common.environment.has_network", lambda: network)


def test_without_a_gpu_auto_is_digits_and_the_quick_preset_on_the_cpu():
    settings = Settings.resolve()
    assert (settings.dataset, settings.preset, settings.device) == ("digits", "quick", "cpu")
    assert (settings.image_size, settings.seed, settings.encoder) == (16, 0, "slim")


def test_with_a_gpu_and_a_network_auto_is_imagenette_and_the_gpu_preset(monkeypatch):
    gpu(monkeypatch, network=True)
    settings = Settings.resolve()
    assert (settings.dataset, settings.preset, settings.device) == ("imagenette", "gpu", "cuda")
    assert settings.image_size == 48


@pytest.mark.parametrize(("dataset", "gpu_size", "full_size"), [
    ("imagenette", 48, 128), ("stl10", 48, 96), ("cifar10", 32, 32), ("digits", 16, 16),
    ("my/photos", 48, 96)])
def test_the_gpu_preset_has_small_images(dataset, gpu_size, full_size):
    sizes = [Settings.resolve(dataset=dataset, preset=preset).image_size
             for preset in ("gpu", "full")]
    assert sizes == [gpu_size, full_size]
    assert Settings.resolve(dataset=dataset, preset="gpu", image_size=64).image_size == 64


def test_with_a_gpu_but_no_network_auto_is_digits(monkeypatch):
    gpu(monkeypatch, network=False)
    settings = Settings.resolve()
    assert (settings.dataset, settings.preset) == ("digits", "quick")
    assert "no network" in settings.why


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_row_of_numbers(preset):
    settings = Settings.resolve(preset=preset)
    assert {name: getattr(settings, name) for name in PRESETS[preset]} == PRESETS[preset]


@pytest.mark.parametrize("given", [None, "auto"])
def test_the_environment_beats_auto(monkeypatch, given):
    monkeypatch.setenv("FEWLABELS_PRESET", "smoke")
    monkeypatch.setenv("FEWLABELS_DATASET", "cifar10")
    settings = Settings.resolve(preset=given, dataset=given)
    assert (settings.preset, settings.dataset, settings.image_size) == ("smoke", "cifar10", 32)


def test_noise_is_a_deviation_and_a_schedule(monkeypatch):
    settings = Settings.resolve()
    assert (settings.noise_sigma, settings.noise_schedule) == (0.0, "ramp")
    assert ("noise_sigma", "the dataset's own range") in settings.rows()
    monkeypatch.setenv("FEWLABELS_NOISE_SIGMA", "0.5")
    assert Settings.resolve(noise_schedule="linear").noise_sigma == 0.5
    for wrong in ("-1", "much", "inf", "nan"):
        with pytest.raises(UserError, match="noise_sigma must be a number from zero on"):
            Settings.resolve(noise_sigma=wrong)
    with pytest.raises(UserError,
                       match="unknown noise schedule 'sudden': choose ramp, constant, linear"):
        Settings.resolve(noise_schedule="sudden")


def test_a_precision_that_the_device_lacks_is_refused(monkeypatch):
    monkeypatch.setattr("helpers.common.compute.precision", lambda *_, **__: "32-true")
    assert (Settings.resolve().precision, Settings.resolve(precision=32).precision) == ("auto",
                                                                                        "32")
    assert Settings.resolve(precision="32").changed == "precision=32"
    for wanted in ("bf16", "fp16"):
        with pytest.raises(UserError, match=f"'{wanted}': this cpu has no arithmetic for it: "
                           "choose auto, 32$"):
            Settings.resolve(precision=wanted)
    with pytest.raises(UserError, match="'half': unknown: choose auto, 32$"):
        Settings.resolve(precision="half")
    monkeypatch.setattr("helpers.common.compute.precision", lambda *_, **__: "bf16-mixed")
    monkeypatch.setenv("FEWLABELS_PRECISION", "bf16")
    assert Settings.resolve().precision == "bf16"


def test_an_argument_beats_the_environment(monkeypatch):
    monkeypatch.setenv("FEWLABELS_PRESET", "smoke")
    monkeypatch.setenv("FEWLABELS_SEED", "5")
    settings = Settings.resolve(preset="full", seed=7)
    assert (settings.preset, settings.seed) == ("full", 7)


def test_seed_zero_as_an_argument_beats_the_environment(monkeypatch):
    monkeypatch.setenv("FEWLABELS_SEED", "5")
    assert Settings.resolve().seed == 5
    assert Settings.resolve(seed=0).seed == 0


def test_an_empty_or_auto_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("FEWLABELS_SEED", "")
    monkeypatch.setenv("FEWLABELS_PRESET", "auto")
    assert (Settings.resolve().seed, Settings.resolve().preset) == (0, "quick")


def test_numbers_and_folders_of_the_environment_get_their_types(monkeypatch):
    monkeypatch.setenv("FEWLABELS_BATCH_SIZE", "32")
    monkeypatch.setenv("FEWLABELS_RUN_DIR", "~/elsewhere")
    monkeypatch.setenv("FEWLABELS_LABEL_COUNTS", "1, 5, all")
    settings = Settings.resolve()
    assert settings.batch_size == 32
    assert settings.run_dir == Path.home() / "elsewhere"
    assert settings.label_counts == (1, 5, ALL_LABELS)


@pytest.mark.parametrize(
    "choices",
    [{"preset": "huge"}, {"device": "tpu"}, {"device": "cuda"}, {"encoder": "vgg"}, {
        "batch_size": "many"
    }, {"batch_size": 0}, {"image_size": -3}, {"seed": -1}, {"seed": 2**32},
     {"label_counts": "1,two"},
     {"epochs": 3}, {"label_counts": "1,-5,all"}, {"label_counts": "0"}, {"label_counts": [1, 2.5]},
     {"pretrain_steps": 1.7}, {"draws": True}, {"batch_size": float("inf")}])
def test_a_bad_choice_is_one_line_that_names_it(choices):
    with pytest.raises(UserError) as error:
        Settings.resolve(**choices)
    ((name, value),) = choices.items()
    assert "\n" not in str(error.value)
    assert name.removesuffix("s") in str(error.value)
    assert str(value) in str(error.value) or name == "epochs"


def test_a_bad_number_in_the_environment_is_a_user_error(monkeypatch):
    monkeypatch.setenv("FEWLABELS_DRAWS", "3.5")
    with pytest.raises(UserError, match="draws"):
        Settings.resolve()


def test_the_complaint_about_a_device_offers_what_is_there():
    with pytest.raises(UserError, match="choose cpu$|choose .*cpu"):
        Settings.resolve(device="cuda")


def test_every_encoder_on_the_list_can_be_asked_for():
    for name in ENCODERS:
        assert Settings.resolve(encoder=name).encoder == name


def test_settings_cannot_be_changed_but_copied_with_changes():
    settings = Settings.resolve()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.seed = 3
    assert (settings.replace(seed=3).seed, settings.seed) == (3, 0)


def test_seeds_presets_and_datasets_keep_their_checkpoints_apart(tmp_path):
    folders = {
        Settings.resolve(preset=preset, seed=seed, dataset=dataset, run_dir=tmp_path).checkpoints
        for preset in ("smoke", "quick")
        for seed in (0, 1)
        for dataset in ("digits", "cifar10")
    }
    assert len(folders) == 8
    assert all(folder.parent == tmp_path for folder in folders)


def test_a_folder_of_images_keeps_its_checkpoints_under_its_own_name(tmp_path):
    settings = Settings.resolve(dataset=str(tmp_path / "cats"), run_dir=tmp_path / "runs",
                                preset="quick")
    assert settings.checkpoints == tmp_path / "runs" / "cats-quick-seed0"


def test_smoke_scales_steps_down_to_two_at_least_and_quick_keeps_them():
    assert Settings.resolve(preset="quick").scale(300) == 300
    assert Settings.resolve(preset="smoke").scale(300) == 9
    assert Settings.resolve(preset="smoke").scale(10) == 2


def test_settings_print_one_row_a_value_with_words_for_all_labels():
    settings = Settings.resolve(preset="smoke")
    rows = dict(settings.rows())
    assert rows["label_counts"] == "1, 5, all"
    assert rows["preset"].startswith("smoke (")
    assert len(str(settings).splitlines()) == len(rows)


def test_the_table_of_settings_escapes_what_a_person_typed():
    assert "<b>" not in Settings.resolve(dataset="<b>")._repr_html_()


def test_numbers_of_labels_are_words_numbers_or_a_list():
    for given in ("1,5,all", [1, 5, ALL_LABELS], (1, 5, "all")):
        assert Settings.resolve(label_counts=given).label_counts == (1, 5, ALL_LABELS)
    assert Settings.resolve(label_counts=5).label_counts == (5,)
    with pytest.raises(UserError,
                       match="label_counts must be whole numbers above zero and the word all"):
        Settings.resolve(label_counts="1,x")


def test_a_misspelt_variable_is_one_line_with_the_nearest_one(monkeypatch):
    monkeypatch.setenv("FEWLABELS_BATCHSIZE", "7")
    with pytest.raises(
            UserError,
            match="FEWLABELS_BATCHSIZE means nothing: did you mean FEWLABELS_BATCH_SIZE"):
        Settings.resolve()


def test_every_variable_that_the_package_reads_is_known(monkeypatch):
    text = "".join(
        path.read_text(encoding="utf-8") for path in Path(helpers.__file__).parent.rglob("*.py"))
    for name in set(re.findall(r"FEWLABELS_[A-Z_]*[A-Z]", text)):
        monkeypatch.setenv(name, "")
    Settings.resolve()


def test_what_departs_from_the_preset_is_said_and_folders_and_seed_are_not(tmp_path):
    usual = Settings.resolve(dataset="digits", preset="quick", device="cpu", seed=7,
                             run_dir=tmp_path)
    assert usual.changed == ""
    other = Settings.resolve(dataset="digits", preset="quick", device="cpu", encoder="resnet18",
                             label_counts="1,5,all", noise_sigma=0.5, image_size=32)
    assert other.changed == ("encoder=resnet18; label_counts=(1, 5, 0); noise_sigma=0.5; "
                             "image_size=32")

"""What a run will cost, said before it runs."""


import pytest
from running import NOTEBOOKS

from helpers.cli import plan
from helpers.cli.cost import GIB, MACHINES, Shown, Training, network
from helpers.cli.main import main
from helpers.cli.work import Work
from helpers.methods.presets import RATES
from helpers.report.times import read_times
from helpers.settings import Settings
from helpers.training.best import BEST
from helpers.training.released import PHOTOGRAPHS

T4, CPU = MACHINES["t4"], MACHINES["cpu"]
ERROR = 0.25  # see `helpers.cli.cost`
NUMBERS = [path.stem[:2] for path in NOTEBOOKS]


def on_t4(number, **choices):
    return plan.plan(number, plan.settings_of("t4", **choices), T4)


def large(dataset="stl10", **choices):
    """Settings of large networks and images."""
    return Settings.resolve(preset="full", dataset=dataset, device="cpu", **choices)


def test_a_residual_networks_operations_are_the_published_ones():
    counted = network("resnet18", 3, 224, 224)
    assert counted.weights == 11_176_512  # torchvision's 11,689,512 without its classifier
    assert counted.flops == pytest.approx(2 * 1.81e9, rel=0.01)  # multiply-adds, torchvision


def test_a_step_is_launches_and_operations_and_bytes():
    step = Training("byol", "resnet18", 1, 256, (Shown(96, 2, 4, 2),), channels=3, side=96)
    seconds = step.step_seconds(T4)
    for part in ("launch", "flops", "bandwidth"):
        half = getattr(T4, part) / 2
        assert step.step_seconds(T4._replace(**{part: half})) != seconds
    fast = T4._replace(launch=0, bandwidth=float("inf"))
    operations = 8 * 256 * network("resnet18", 3, 96, 96).flops
    assert step.step_seconds(fast) == pytest.approx(operations / T4.flops)


def test_crops_of_another_side_go_through_the_network_of_the_whole_images():
    assert network("resnet18", 3, 96, 40).weights == network("resnet18", 3, 96, 96).weights
    assert network("resnet18", 3, 96, 40).flops < network("resnet18", 3, 96, 96).flops / 3


@pytest.mark.parametrize(("method", "least", "most"), [
    ("byol", 0.130, 0.210), ("dino", 0.250, 0.450)])
def test_large_networks_on_a_t4_take_what_others_assume(method, least, most):
    work = Work(large())
    work.pretraining(method)
    assert least <= work.trainings[0].step_seconds(T4) <= most


@pytest.mark.parametrize("number", NUMBERS)
def test_no_notebook_takes_a_t4_longer_than_a_quarter_of_an_hour(number):
    found = on_t4(number)
    assert (found.settings.dataset, found.settings.preset) == ("imagenette", "gpu")
    assert found.seconds <= 15 * 60
    assert found.memory <= T4.memory * GIB


def kept_by(found):
    """The trainings whose encoders other notebooks find."""
    return [training for training in found.work.trainings if training.kept]


def test_most_notebooks_take_a_t4_less_than_five_minutes():
    short = [number for number in NUMBERS if on_t4(number).seconds < 5 * 60]
    assert len(short) > len(NUMBERS) / 2


@pytest.mark.parametrize("preset,hours", [("smoke", 0.3), ("quick", 3)])
def test_noise_on_large_photographs_does_not_take_a_cpu_all_day(preset, hours):
    chosen = Settings.resolve(preset=preset, dataset="imagenette", device="cpu")
    assert chosen.image_size == 128
    assert plan.plan("07", chosen).seconds < 3600 * hours


def test_byol_on_stl10_takes_a_t4_25_minutes_at_most():
    (training,) = kept_by(on_t4("02", dataset="stl10"))
    assert training.seconds(T4) <= 25 * 60


def test_the_digits_notebooks_take_what_was_measured():
    chosen = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    made, errors = set(), {}
    for row in read_times():
        if "Intel" not in row.chip:  # the model was fitted there; other CPUs: see its docstring
            continue
        found = plan.plan(row.notebook[:2], chosen, CPU)
        again = sum(each.seconds(CPU) for each in found.work.trainings if each in made)
        made |= {each for each in found.work.trainings if each.kept}
        errors[row.notebook[:2]] = (found.seconds - again) / row.seconds - 1
    assert len(errors) > 5 and max(map(abs, errors.values())) < ERROR


def test_a_measured_time_of_such_a_machine_comes_before_an_estimate():
    chosen = Settings.resolve(preset="quick", dataset="digits", device="cpu")
    assert "(measured on " in str(plan.plan("03", chosen))
    assert "(estimated for 2 CPU cores" in str(plan.plan("03", chosen.replace(preset="smoke")))


def test_released_encoders_are_taken_in_place_of_trainings():
    maps, byol = on_t4("06").work, on_t4("02").work
    assert maps.taken == list(PHOTOGRAPHS.values()) and maps.trainings == []
    assert byol.taken == [] and {10_000} == {each.steps for each in byol.trainings if each.kept}


def test_the_full_preset_says_what_it_downloads_and_takes(capsys):
    line = str(plan.plan("02", large().replace(device="cuda"), T4))
    assert "trainings 3, 40,405 steps in all" in line and "downloads 2,640 MB" in line
    assert "about 2.5 hours" in line and "6.5 GB of disk" in line


def test_a_long_run_says_its_time_and_downloads_before_it_starts():
    chosen = large().replace(device="cuda")
    line = plan.of_notebooks(["02", "05"], chosen)
    assert "preset full takes about" in line and "hours" in line
    assert f"downloads {2640 + 330:,} MB" in line
    assert "about 2.2 hours" in plan.of_training("byol", 40_000, chosen)
    assert "downloads 2,640 MB" in plan.of_training("byol", 40_000, chosen)


def test_a_folder_counts_by_its_files(tmp_path):
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    (training,) = kept_by(plan.plan("02", large(dataset=str(tmp_path)), T4))
    assert training.steps == 800 * 40 // 256


def test_a_folder_of_photographs_gets_the_best_encoder_that_takes_minutes(tmp_path):
    for number in range(50):
        (tmp_path / f"{number}.jpg").touch()
    features = on_t4("03", dataset=str(tmp_path))
    assert features.work.taken == [list(BEST)[0]] and features.megabytes > 300
    assert features.seconds > on_t4("03").seconds - plan.DATA["imagenette"].download
    slow = T4._replace(single=1e6)
    assert plan.plan("03", features.settings, slow).work.taken == [PHOTOGRAPHS["byol"]]


def test_fine_tuning_the_best_encoder_is_planned_with_all_its_steps(tmp_path):
    (tmp_path / "1.jpg").touch()
    chosen = plan.settings_of("t4", dataset=str(tmp_path), preset="quick")
    fast = T4._replace(single=1e18)
    (training,) = plan.plan("04", chosen, fast).work.trainings
    assert training.encoder == "vit_base" and training.times == 2 * len(RATES) + 2 * 5 * 3
    assert training.seconds(T4) > on_t4("04").seconds


def test_the_command_prints_a_table_that_fits_a_terminal(capsys):
    assert main(["doctor", "--plan", "--device", "t4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines if line[:1].isdigit()] == NUMBERS
    assert max(map(len, lines)) <= 100
    assert f"All {len(NUMBERS)}, each alone: about " in lines[-2]


def test_details_are_a_line_a_notebook(capsys):
    assert main(["doctor", "--plan", "--details", "--device", "t4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:-1]] == [f"Plan of notebook {number}"
                                                           for number in NUMBERS]


@pytest.mark.parametrize("words", ["--preset huge", "--device tpu", "--dataset nowhere"])
def test_wrong_options_of_the_plan_are_one_line(words, capsys):
    assert main(["doctor", "--plan", *words.split()]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1

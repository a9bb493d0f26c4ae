"""What `python -m helpers doctor` and a notebook's first cell say about machines of several
kinds."""

import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from helpers.cli import doctor
from helpers.cli.main import main
from helpers.common import machine
from helpers.report import times


@pytest.fixture(autouse=True)
def plain(monkeypatch):
    """No network, and nothing chosen in the environment."""
    for name in ("PRESET", "DATASET", "DEVICE", "ENCODER", "RUN_DIR"):
        monkeypatch.delenv(f"FEWLABELS_{name}", raising=False)
    monkeypatch.setenv("FEWLABELS_OFFLINE", "1")


@pytest.fixture
def cuda(tmp_path, monkeypatch):
    """A GPU that torch would see and must not touch: a notebook may still want to fork."""
    if os.name == "nt":
        pytest.skip("a shell script stands for the driver's program")
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in *"--id 7"*) exit 6;; esac\necho "Tesla T4, 15360"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: pytest.fail("the GPU was touched"))


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def test_the_doctor_says_what_is_here_and_what_will_run(no_gpu, capsys):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    assert f"\n  Python    {version}" in said
    for subject in ("system", "packages", "GPU", "memory", "disk", "network", "dataset", "preset",
                    "time", "encoders"):
        assert f"\n  {subject:<9} " in said
    assert "torch 2" in said and "none that torch can use" in said
    assert "\n  dataset   digits (embedded: no GPU here)\n" in said


def test_without_problems_the_last_line_says_how_to_start_and_else_where_to_look():
    assert "python -m helpers run" in doctor.verdict([])
    assert doctor.verdict(["packages", "disk"]).endswith("packages, disk.")


def test_missing_and_old_packages_are_named_with_the_command_that_mends_them(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("torch>=99.0\nno-such-package>=1.5\nnumpy>=1.0\n")
    found = doctor.packages(path)
    assert found.problem
    assert found.fact.startswith("no-such-package is missing, torch 2") and found.fact.endswith(
        "is older than 99.0")
    assert "pip install -r requirements.txt" in found.meaning and "numpy " in found.meaning


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(tmp_path, monkeypatch):
    def broken():
        raise OSError("no such device")

    monkeypatch.setattr(doctor, "gpu", broken)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    said = doctor.report(tmp_path)
    assert "\n  GPU       ! could not be found out: no such device\n" in said
    assert "\n  encoders  none yet" in said
    assert said.splitlines()[-1].endswith("marked with \"!\" first: GPU.")


def test_a_wrong_environment_variable_is_one_line_of_the_report(monkeypatch):
    monkeypatch.setenv("FEWLABELS_PRESET", "huge")
    assert "! could not be found out: unknown preset 'huge'" in doctor.report()


@pytest.fixture
def timed(tmp_path):
    """A repository's folder with these rows: device, cores, seconds of each notebook, and perhaps
    other columns."""
    def kept(*rows):
        usual = times.Time("", 0, "quick", "digits", "cpu", "AMD EPYC, avx2", 2, "2.11.0")
        times.keep([
            usual._replace(notebook=f"0{number}_n", device=device, cores=cores, seconds=value, **
                           other)
            for device, cores, seconds, other in rows
            for number, value in enumerate(seconds, 1)
        ], tmp_path / times.PLACE)
        return tmp_path
    return kept


def test_a_gpu_is_named_with_its_memory_and_takes_the_large_preset(cuda, monkeypatch):
    monkeypatch.setattr("helpers.common.environment.has_network", lambda: True)
    assert doctor.gpu().fact == "Tesla T4 with 15 GiB"
    said = doctor.brief()
    assert "GPU: Tesla T4 with 15 GiB" in said and "dataset stl10 (a GPU and a network are here)" in said
    assert "preset full" in said


def test_times_on_a_gpu_are_not_measured_until_they_are(cuda, timed, monkeypatch):
    monkeypatch.setattr("helpers.common.environment.has_network", lambda: True)
    root = timed(("cpu", 2, (50, 70), {}))
    sizes = "how long it takes was not measured on a GPU with stl10, preset full"
    assert doctor.duration(root).fact == sizes and sizes in doctor.brief(root)
    monkeypatch.setenv("FEWLABELS_DATASET", "digits")
    assert doctor.duration(
        root).fact == "how long it takes was not measured on a GPU with digits, preset quick"
    root = timed(("cuda", 8, (10, 20), dict(chip="Tesla T4")))
    assert doctor.duration(root).fact == "all notebooks about 30 seconds on Tesla T4 (GPU)"


def test_a_gpu_whose_driver_tells_nothing_is_still_there(cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert doctor.gpu().fact == "one that torch can use"


def test_colab_without_a_gpu_says_where_to_get_one(no_gpu, monkeypatch):
    assert "Runtime" not in doctor.gpu().meaning
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert "Runtime > Change runtime type" in doctor.gpu().meaning
    assert doctor.python().fact.endswith("on Colab")


@pytest.mark.parametrize("limit, expected, problem", [(str(2 * 1024**3), "2 GiB", True),
                                                      ("max", None, None)])
def test_a_containers_memory_limit_counts(tmp_path, limit, expected, problem):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    whole, found = doctor.memory(tmp_path / "none"), doctor.memory(tmp_path / "memory.max")
    assert found == whole if expected is None else (found.fact, found.problem) == (expected,
                                                                                   problem)


def test_little_disk_is_a_problem_that_the_digits_do_not_have(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage",
                        lambda path: SimpleNamespace(free=3 * doctor.GIB))
    found = doctor.disk(tmp_path)
    assert found.problem and found.fact == "3 GiB free" and "the digits need none" in found.meaning
    assert "! 3 GiB free: STL-10" in doctor.brief(tmp_path)


def test_the_first_cell_is_told_machine_versions_and_plan_in_two_lines(no_gpu):
    machine, plan = doctor.brief().splitlines()
    assert all(word in machine for word in ("CPU core", "GPU: none", "of memory", "on the disk",
                                            "network: none", "Python 3.", "torch 2."))
    assert plan.startswith(
        'With everything on "auto": dataset digits (embedded: no GPU here), preset quick (')


def test_the_estimate_is_of_the_measured_machine_with_the_nearest_number_of_cores(
        no_gpu, timed, monkeypatch):
    root = timed(("cpu", 2, (50, 70), {}), ("cpu", 16, (20, 25), {}),
                 ("cpu", 4, (9, 9), dict(preset="smoke")), ("cuda", 4, (5, 5), {}))
    for cores, fact, each in ((3, "2 minutes on 2 CPU cores (AMD, AVX2)", "01 0:50, 02 1:10"),
                              (12, "40 seconds on 16 CPU cores (AMD, AVX2)", "01 0:20, 02 0:25")):
        monkeypatch.setattr(machine, "cores", lambda cores=cores: cores)
        found = doctor.duration(root)
        assert found == (f"all notebooks about {fact}", each, False)
        assert doctor.brief(root).splitlines()[1].endswith(f"; {found.fact}.")


def test_a_cpu_that_nobody_measured_has_no_time_in_the_first_cell(no_gpu, tmp_path):
    assert "not measured on a CPU with digits, preset quick" in doctor.duration(tmp_path).fact
    assert "measured" not in doctor.brief(tmp_path)


def test_times_of_the_last_run_here_are_shown_for_the_same_preset(no_gpu, tmp_path):
    folder = tmp_path / "results" / "notebooks"
    folder.mkdir(parents=True)
    for name, preset, seconds in (("01", "quick", 75.2), ("02", "smoke", 9.0), ("03", None, 30.0)):
        parameters = {"PRESET": preset} if preset else {}
        ran = {"papermill": {"parameters": parameters, "duration": seconds}}
        (folder / f"{name}.ipynb").write_text(json.dumps({"cells": [], "metadata": ran}))
    (folder / "04.ipynb").write_text('{"cells": [')  # half written
    assert doctor.last_times(folder, "quick") == {"01": 75.2, "03": 30.0}
    assert "here, the last time: 01 1:15, 03 0:30" in doctor.duration(tmp_path).meaning


def test_encoders_are_listed_with_their_size(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "a.safetensors").write_bytes(b"0" * 1_500_000)
    assert doctor.encoders(tmp_path).fact == "weights/a.safetensors (1.5 MB)"

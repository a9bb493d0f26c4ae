"""What `python -m helpers doctor` and a notebook's first cell say about machines of several
kinds."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from helpers.cli import doctor
from helpers.cli.main import main
from helpers.common import machine
from helpers.common.environment import ROOT
from helpers.report import times
from scripts.times import keep_times


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
        '#!/bin/sh\ncase "$*" in *"--id 7"*) exit 6;; esac\necho "Tesla T4, 15360 MiB"\n')
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
    assert f", Python {version} " in said
    for subject in ("system", "packages", "GPU", "memory", "disk", "network", "plan"):
        assert f"  {subject:<9} " in said
    assert "torch 2" in said and "none that torch can use" in said
    assert "  plan      dataset digits (embedded: no GPU here), preset quick" in said


def test_lines_wrap_at_words(monkeypatch):
    monkeypatch.setattr(doctor, "checks", lambda root: {"disk": lambda: doctor.Found("fine " * 99)})
    lines = doctor.report().splitlines()
    assert max(map(len, lines)) <= 100 and " ".join(lines).count("fine ") == 99
    assert all(line.startswith(" " * 12 + "fine") for line in lines[1:-2])


def test_without_problems_the_last_line_says_how_to_start_and_else_where_to_look(monkeypatch):
    monkeypatch.setattr(doctor, "checks", lambda root: {"disk": lambda: doctor.Found("fine")})
    assert "python -m helpers run" in doctor.report().splitlines()[-1]
    monkeypatch.setattr(doctor, "checks", lambda root: {
        name: lambda: doctor.Found("bad", True) for name in ("packages", "disk")})
    assert doctor.report().splitlines()[-1].endswith('marked with "!" first: packages, disk.')


def test_missing_and_old_packages_are_named_with_the_command_that_mends_them(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text("torch>=99.0\nno-such-package>=1.5\nnumpy>=1.0\n")
    found = doctor.packages(path)
    assert found.problem and found.fact.startswith("no-such-package is missing, torch 2")
    assert found.fact.endswith("is older than 99.0: python -m pip install -r requirements.txt")


def test_without_any_package_it_still_says_what_is_missing():
    code = "from helpers.cli.main import main; main(['doctor'])"
    done = subprocess.run([sys.executable, "-I", "-S", "-c",
                           f"import sys; sys.path.append({str(ROOT)!r}); {code}"],
                          capture_output=True, text=True)
    assert "! packages  torch is missing" in done.stdout, done.stderr
    assert "  GPU       not known without the packages (No module named 'torch')" in done.stdout
    assert "GiB" in done.stdout and done.stdout.rstrip().endswith("first: packages.")


def test_a_check_that_fails_is_a_problem_and_the_others_go_on(tmp_path, monkeypatch):
    def broken():
        raise OSError("no such device")

    monkeypatch.setattr(doctor, "gpu", broken)
    (tmp_path / "requirements.txt").write_text("numpy\n")
    said = doctor.report(tmp_path)
    assert "\n! GPU       could not be found out: no such device\n" in said
    assert "\n  memory " in said and said.splitlines()[-1].endswith('marked with "!" first: GPU.')


def test_a_wrong_environment_variable_is_one_line_of_the_report(monkeypatch):
    monkeypatch.setenv("FEWLABELS_PRESET", "huge")
    assert "! plan      could not be found out: unknown preset 'huge'" in doctor.report()


@pytest.fixture
def timed(tmp_path):
    """A repository's folder with these rows: device, cores, seconds of each notebook."""
    def kept(*rows):
        keep_times([
            times.Time(f"0{number}_n", value, "quick", "digits", device, "AMD EPYC, avx2", cores,
                       "2.11.0")
            for device, cores, seconds in rows for number, value in enumerate(seconds, 1)
        ], tmp_path)
        return tmp_path
    return kept


def test_a_gpu_is_named_with_its_memory_and_takes_the_large_preset(cuda, monkeypatch):
    monkeypatch.setattr("helpers.common.environment.has_network", lambda: True)
    assert doctor.gpu().fact == "Tesla T4, 15360 MiB"
    said = doctor.brief()
    assert "GPU: Tesla T4, 15360 MiB" in said
    assert "dataset imagenette (a GPU and a network are here)" in said and "preset gpu" in said


def test_times_on_a_gpu_are_not_measured_until_they_are(cuda, timed, monkeypatch):
    root = timed(("cpu", 2, (50, 70)))
    assert "was not measured for this" in doctor.plan(root).fact
    root = timed(("cuda", 8, (10, 20)))
    assert doctor.plan(root).fact.endswith("all notebooks took about 30 seconds on AMD EPYC, avx2")


def test_a_gpu_whose_driver_tells_nothing_is_still_there(cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    assert doctor.gpu().fact == "one that torch can use"


def test_colab_without_a_gpu_says_where_to_get_one(no_gpu, monkeypatch):
    assert "Runtime" not in doctor.gpu().fact
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    assert "Runtime > Change runtime type" in doctor.gpu().fact
    assert doctor.brief().count("\n! GPU: none; Colab lends one: Runtime > Change runtime") == 1
    assert doctor.system().fact.endswith("on Colab")


@pytest.mark.parametrize("limit, expected", [
    (str(2 * 1024**3), doctor.Found("2 GiB (4 GiB or more are advised)", True)), ("max", None)])
def test_a_containers_memory_limit_counts(tmp_path, limit, expected):
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    whole, found = doctor.memory(tmp_path / "none"), doctor.memory(tmp_path / "memory.max")
    assert found == (expected or whole)


def test_little_disk_is_a_problem_that_the_digits_do_not_have(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage",
                        lambda path: SimpleNamespace(free=3 * doctor.GIB))
    found = doctor.disk(tmp_path)
    assert found.problem and found.fact.startswith("3 GiB free")
    assert "the digits need none" in found.fact and "! disk: 3 GiB free" in doctor.brief(tmp_path)


def test_the_first_cell_is_told_machine_versions_and_plan_in_two_lines(no_gpu):
    here, plan = doctor.brief().splitlines()
    assert all(word in here for word in ("CPU core", "GPU: none", "of memory", "GiB free",
                                         "network: none", "Python 3.", "torch 2."))
    assert plan.startswith(
        'With everything on "auto": dataset digits (embedded: no GPU here), preset quick (')


def test_the_estimate_is_of_the_measured_machine_with_the_nearest_number_of_cores(
        no_gpu, timed, monkeypatch):
    root = timed(("cpu", 2, (50, 70)), ("cpu", 16, (20, 25)), ("cuda", 4, (5, 5)))
    for cores, fact in ((3, "2 minutes on 2 CPU cores (AMD EPYC, avx2)"),
                        (12, "40 seconds on 16 CPU cores (AMD EPYC, avx2)")):
        monkeypatch.setattr(machine, "cores", lambda cores=cores: cores)
        assert doctor.plan(root).fact.endswith(f"all notebooks took about {fact}")
        assert doctor.brief(root).splitlines()[1].endswith(f"{fact}.")

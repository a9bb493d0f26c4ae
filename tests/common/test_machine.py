"""What a measurement was made on has a name."""

import pytest

from helpers.common import machine
from helpers.common.errors import UserError


@pytest.mark.parametrize("text, name", [
    ("model name\t: AMD EPYC\nflags\t: fpu avx2 avx512_bf16\n\nmodel name\t: AMD EPYC\nflags\t: "
     "fpu avx2 avx512_bf16\n",
     "AMD EPYC, avx512_bf16"),
    ("model name : Intel(R) Xeon(R)\nflags : avx2 avx512_bf16 amx_bf16\n",
     "Intel(R) Xeon(R), amx_bf16"), ("model name : Old\nflags : fpu\n", "Old")
])
def test_a_chip_is_its_name_and_the_best_it_can_do(tmp_path, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    assert machine.chip("cpu", tmp_path / "cpuinfo") == name


def test_a_chip_has_a_name_where_the_system_has_no_such_file(tmp_path, monkeypatch):
    monkeypatch.setattr(machine.platform, "processor", lambda: "")
    monkeypatch.setattr(machine.platform, "machine", lambda: "arm64")
    assert machine.chip("cpu", tmp_path / "none") == "arm64" and machine.cores() >= 1


def test_a_gpus_name_is_torchs(monkeypatch):
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Tesla T4")
    assert machine.chip("cuda") == "Tesla T4"


def test_the_threads_that_decode_are_one_a_core_or_as_many_as_wanted(monkeypatch):
    monkeypatch.delenv("FEWLABELS_WORKERS", raising=False)
    assert machine.workers() == machine.cores()
    monkeypatch.setenv("FEWLABELS_WORKERS", "7")
    assert machine.workers() == 7
    for wrong in ("0", "-1", "many"):
        monkeypatch.setenv("FEWLABELS_WORKERS", wrong)
        message = f"^FEWLABELS_WORKERS must be a whole number above zero, not '{wrong}'$"
        with pytest.raises(UserError, match=message):
            machine.workers()

import pytest

from helpers.common import machine
from helpers.common.errors import UserError
from helpers.report import times

ROW = times.Time("01_a", 73.24, "quick", "digits", "cpu", "Intel(R) Xeon(R) Processor, amx_bf16", 2,
                 "2.11.0")


def test_what_is_kept_is_read_again_with_tenths_of_seconds(tmp_path):
    times.keep([ROW], tmp_path / "times.csv")
    assert times.read(tmp_path / "times.csv") == [ROW._replace(seconds=73.2)]
    assert times.read(tmp_path / "none.csv") == []


def test_a_run_replaces_all_rows_of_its_machine_and_no_others(tmp_path):
    path = tmp_path / "times.csv"
    others = [
        ROW._replace(**change) for change in (dict(device="cuda"), dict(chip="AMD"), dict(cores=4),
                                              dict(preset="full"), dict(dataset="stl10"))
    ]
    times.keep([ROW, ROW._replace(notebook="02_gone"), *others], path)
    again = ROW._replace(seconds=50.0, torch="2.12.0")
    times.keep([again], path)
    kept = times.read(path)
    assert len(kept) == 6 and again in kept and "02_gone" not in {row.notebook for row in kept}


def test_the_order_of_the_file_does_not_depend_on_who_came_first(tmp_path):
    rows = [ROW, ROW._replace(cores=16), ROW._replace(notebook="00_z")]
    times.keep(rows, tmp_path / "a.csv")
    times.keep(rows[1:2], tmp_path / "b.csv")
    times.keep([rows[2], rows[0]], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


@pytest.mark.parametrize("text", [
    "a,b\n1,2\n", "", ",".join(times.Time._fields) + "\n01,soon,quick,digits,cpu,x,2,2\n",
    ",".join(times.Time._fields) + "\n01,1\n"
])
def test_another_table_is_refused(tmp_path, text):
    (tmp_path / "times.csv").write_text(text)
    with pytest.raises(UserError, match="move it away"):
        times.read(tmp_path / "times.csv")


@pytest.mark.parametrize("seconds, words, short", [(0.4, "10 seconds", "10 s"),
                                                   (54, "50 seconds", "50 s"),
                                                   (61, "1 minute", "1 min"),
                                                   (73.9, "70 seconds", "70 s"),
                                                   (114, "110 seconds", "110 s"),
                                                   (116, "2 minutes", "2 min"),
                                                   (140, "2.5 minutes", "2.5 min"),
                                                   (3600, "60 minutes", "60 min"),
                                                   (7300, "2 hours", "2 h"),
                                                   (9100, "2.5 hours", "2.5 h")])
def test_times_are_coarse(seconds, words, short):
    assert (times.in_words(seconds), times.in_short(seconds)) == (words, short)


@pytest.mark.parametrize(
    "change, words",
    [({}, "2 CPU cores (Intel, AMX)"),
     (dict(cores=1, chip="AMD EPYC, avx2"), "1 CPU core (AMD, AVX2)"),
     (dict(chip="arm"), "2 CPU cores (arm)"), (dict(device="mps", chip="arm"), "Apple's GPU (arm)"),
     (dict(device="cuda", chip="NVIDIA H100 80GB HBM3"), "H100 80GB HBM3 (GPU)"),
     (dict(dataset="stl10", preset="full"), "2 CPU cores (Intel, AMX), stl10, full")])
def test_a_machine_has_a_short_name(change, words):
    assert list(times.by_machine([ROW._replace(**change)])) == [words]


def test_machines_that_share_a_short_name_are_told_apart():
    other = ROW._replace(chip="Intel(R) Core(TM) i7, amx_bf16")
    assert list(times.by_machine([ROW, other])) == [
        "2 CPU cores (Intel(R) Xeon(R) Processor, amx_bf16)",
        "2 CPU cores (Intel(R) Core(TM) i7, amx_bf16)"
    ]


def test_the_nearest_machine_is_chosen_by_cores_then_chip_then_the_longer_time():
    rows = [ROW._replace(cores=16), ROW._replace(chip="AMD", seconds=90), ROW]

    def nearest(*known):
        return times.nearest(rows, "cpu", "quick", "digits", *known)

    assert nearest(12) == [rows[0]] and nearest(2, ROW.chip) == [ROW] and nearest(1) == [rows[1]]
    assert times.nearest(rows, "cuda", "quick", "digits", 2) == []
    assert times.nearest(rows, "cpu", "full", "digits", 2) == []


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

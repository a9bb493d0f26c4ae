"""Weights that ask for more than they are: small files that would take gigabytes or never end.

Each is refused in one line, in little time and memory. FEWLABELS_FUZZ=10000 tries so many random
programs.
"""

import io
import os
import pickle
import struct
import zipfile

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from limits import little_is_used

from helpers.common.errors import UserError
from helpers.models.weights.safe_read import LEGACY_MAGIC, read_tensors

ROUNDS = int(os.environ.get("FEWLABELS_FUZZ", "150"))
PROTO = b"\x80\x02"


def zipped(program, *records):
    """What torch.save writes, with a program of ours."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in (("data.pkl", program), ("byteorder", b"little"), ("version", b"3\n"),
                              *records):
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


def legacy(program):
    return (LEGACY_MAGIC + pickle.dumps(1001, 2) + pickle.dumps({}, 2) + program
            + pickle.dumps([], 2))


def number(value):
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def word(text):
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def call(name, *values):
    module, _, what = name.rpartition(".")
    return f"c{module}\n{what}\n".encode() + b"(" + b"".join(map(number, values)) + b"tR"


def lists_of_lists(width, levels):
    """Lists of the same list: few bytes, width ** levels ways through them."""
    program = b"]q\x00(K\x01e"
    for level in range(1, levels):
        program += b"]q" + bytes([level]) + b"(" + (b"h" + bytes([level - 1])) * width + b"e"
    return program


def storage(kind, count):
    return (b"(" + word("storage") + f"ctorch\n{kind}\n".encode() + word("0") + word("cpu")
            + number(count) + b"tQ")


def tensor(kind, count):
    """A tensor of `count` numbers over a storage that claims as many."""
    return (b"}" + word("weight") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(kind, count)
            + b"K\x00" + number(count) + b"\x85" + b"K\x01\x85" + b"\x89}tRs")


# a list of 100,000 numbers, and a word of a million letters, each named 0
LONG_LIST = b"]q\x00(" + b"K\x01" * 100_000 + b"e"
LONG_WORD = word("a" * 1_000_000) + b"q\x00"
TWICE = b"K\x00" + b"".join(b"q\x01h\x01h\x01\x86" for _ in range(60))  # pairs of the same pair
PROGRAMS = {
    "a bytearray of 4 GB": call("builtins.bytearray", 4_000_000_000),
    "a bytearray by its old name": call("__builtin__.bytearray", 4_000_000_000),
    "a tensor of 4 GB": call("torch.Tensor", 100_000, 10_000),
    "a tensor of many TB": call("torch.FloatTensor", 10**12),
    "a storage made by a call": call("torch.storage.UntypedStorage", 4_000_000_000),
    "lists that share a list, 30 wide": lists_of_lists(30, 8),
    "a storage that claims 4 GB": tensor("FloatStorage", 1_000_000_000),
    "a storage of fewer than no numbers": tensor("FloatStorage", -1),
    "a storage that claims bytes beyond all": tensor("ByteStorage", 1 << 62),
    "many copies of a long list": LONG_LIST + b"ccollections\nOrderedDict\nq\x02"
    + b"h\x02h\x00\x85R" * 10_000,
    "many counts of a long list": LONG_LIST + b"ccollections\nCounter\nq\x02"
    + b"h\x02h\x00\x85R" * 10_000,
    "a long word in many spellings": LONG_WORD + word("utf-32") + b"q\x01c_codecs\nencode\nq\x02"
    + b"h\x02h\x00h\x01\x86R" * 10_000,
    "a key that takes for ever to hash": b"}" + TWICE + b"K\x01s",
    "a set that takes for ever to hash": b"]" + TWICE + b"a\x85q\x00c__builtin__\nset\nh\x00R",
    "a count that takes for ever to hash": b"]" + TWICE
    + b"a\x85q\x00ccollections\nCounter\nh\x00R",
    "pairs that take for ever to hash": b"]]" + TWICE
    + b"aK\x01aa\x85q\x00ccollections\nOrderedDict\nh\x00R",
    "a key of many numbers, many times": b"}" + LONG_LIST.replace(b"]q\x00(", b"(")[:-1]
    + b"tq\x00K\x01s" + b"h\x00K\x01s" * 200_000,
    "a long name for many tensors": b"}" + word("a" * 1_000_000) + lists_of_lists(300, 3) + b"s",
    "a device that is not there": storage("FloatStorage", 10).replace(b"cpu", b"foo"),
    "an object outside of the file": word("module") + b"\x85Q",
    "a program of another protocol": b"\x96" + struct.pack("<Q", 1 << 40),
    "a long text of a number": b"I" + b"9" * 1_000_000 + b"\n",
}
MILLIONS = {
    "lists that share a list, 1000 wide": lists_of_lists(1000, 8),
    "empty tables": b"}" * 5_000_000,
    "numbers": b"](" + b"G" + b"\x00" * 8 + b"K\x01" * 4_500_000 + b"e",
}
ARCHIVES = {
    "a list of a million entries": b"PK\x03\x04" + b"PK\x01\x02" * 1_000_000,
    "a table of a million tensors": struct.pack("<Q", 60_000_000) + b"{" + b" " * 60_000_000,
}


def shared_bytes():
    """An archive whose many entries are one and the same megabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", PROTO + b"}.")
        archive.writestr("archive/data/0", bytes(1 << 20))
        one = archive.infolist()[-1]
        archive.filelist += [_named(one, f"archive/data/{place}") for place in range(1, 3000)]
    return file.getvalue()


def _named(entry, name):
    other = zipfile.ZipInfo(name)
    other.header_offset, other.CRC = entry.header_offset, entry.CRC
    other.file_size, other.compress_size = entry.file_size, entry.compress_size
    return other


def refusal(path):
    """The one line that refuses a file; None where it was read."""
    with little_is_used(path.stat().st_size):
        try:
            read_tensors(path)
        except UserError as error:
            assert "\n" not in str(error) and str(path) in str(error) and len(str(error)) < 600
            return str(error)
    return None


@pytest.mark.parametrize("wrap", [zipped, legacy])
@pytest.mark.parametrize("what", PROGRAMS)
def test_a_program_that_asks_for_too_much_is_refused_without_giving_it(what, wrap, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(wrap(PROTO + PROGRAMS[what] + b"."))
    assert refusal(path)


@pytest.mark.parametrize("what", MILLIONS)
def test_a_program_of_millions_of_steps_ends_early(what, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(zipped(PROTO + MILLIONS[what] + b"."))
    assert refusal(path)


@pytest.mark.parametrize("what", [*ARCHIVES, "entries that share bytes"])
def test_an_archive_that_lists_more_than_it_holds_is_refused(what, tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(ARCHIVES[what] if what in ARCHIVES else shared_bytes())
    assert refusal(path)


def test_a_second_list_of_contents_does_not_smuggle_a_program_in(tmp_path):
    """Python reads the list before the archive's end, torch the one whose place is written."""
    evil, good = zipped(PROTO + call("builtins.bytearray", 1 << 32) + b"."), zipped(PROTO + b"}.")
    tail = good.rindex(b"PK\x05\x06")
    listed = struct.unpack("<I", evil[evil.rindex(b"PK\x05\x06") + 16:][:4])[0]
    content = evil + good[:tail + 16] + struct.pack("<I", listed) + good[tail + 20:]
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    assert refusal(path)


def test_what_training_scripts_keep_beside_their_weights_is_read(tmp_path):
    module = torch.nn.Linear(2, 2)
    steps = torch.optim.lr_scheduler.MultiStepLR(torch.optim.AdamW(module.parameters()), [5, 9])
    module(torch.ones(2)).sum().backward()
    steps.optimizer.step()
    content = {"state_dict": module.state_dict(), "optimizer": steps.optimizer.state_dict(),
               "schedule": steps.state_dict(), "size": torch.Size([2, 2]), "kind": torch.float16,
               "device": torch.device("cpu"), "weight": module.weight, "losses": [0.5] * 100_000,
               "bytes": b"words", "same": {"again": module.state_dict()}}
    for new in (True, False):
        torch.save(content, tmp_path / "all.pth", _use_new_zipfile_serialization=new)
        tensors = read_tensors(tmp_path / "all.pth")
        assert torch.equal(tensors["state_dict/weight"], module.weight)
        assert {"weight", "same/again/bias", "optimizer/state/0/exp_avg"} <= tensors.keys()


PIECES = st.sampled_from([
    b"]", b"}", b")", b"\x8f", b"(", b"N", b"K\x05", number(1 << 40), word("storage"), word("0"),
    word("cpu"), b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"t", b"\x85", b"\x86", b"\x87", b"R",
    b"\x81", b"b", b"a", b"e", b"s", b"u", b"Q", b"ctorch\nFloatStorage\n", b"ctorch\nfloat32\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"ccollections\nOrderedDict\n", b"c_codecs\nencode\n",
    b"cargparse\nNamespace\n", b"ctorch\nSize\n", b"c__builtin__\nbytearray\n",
    b"ccollections\ndefaultdict\n", b"ccollections\ndeque\n", b"c__builtin__\nset\n",
    b"cnumpy.core.multiarray\nscalar\n", b"cpathlib\nPosixPath\n", b"c__builtin__\nobject\n",
    storage("ByteStorage", 6), tensor("ByteStorage", 6), b"\x96" + b"\xff" * 8,
    b"B\xff\xff\xff\x7f"])


@settings(max_examples=ROUNDS, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES, max_size=40), times=st.integers(1, 300), old=st.booleans())
def test_random_programs_end_in_one_line_or_in_tensors(tmp_path, pieces, times, old):
    program = PROTO + b"".join(pieces * times) + b"."
    path = tmp_path / "weights.pth"
    path.write_bytes(legacy(program) if old else zipped(program, ("data/0", b"abcdef")))
    refusal(path)


@settings(max_examples=ROUNDS, deadline=None, derandomize=True,
          suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0), piece=PIECES, removed=st.integers(0, 30), old=st.booleans())
def test_real_weights_with_a_piece_of_another_program_never_end_in_a_crash(
        tmp_path, place, piece, removed, old):
    whole = PROTO + tensor("ByteStorage", 6) + tensor("ByteStorage", 6) + b"\x86."
    at = place % len(whole)
    program = whole[:at] + piece + whole[at + removed:]
    path = tmp_path / "weights.pth"
    path.write_bytes(legacy(program) if old else zipped(program, ("data/0", b"abcdef")))
    refusal(path)

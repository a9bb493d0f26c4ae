"""What `benchmarks/gpu.py` needs on a machine without a network, small enough to be carried there.

    python benchmarks/gpu_pack.py imagenette160.tar            writes .gpu/

The images of a tar (train/<class>/, val/<class>/) become a zip without compression: a tar pads
every file to blocks of 512 bytes. lightly's wheel, pure Python, comes from pip. With `CODE`, the
folders of the repository that run there, it is small enough; weights and executed notebooks are
not. On the other machine:

    python -m pip install --no-deps .gpu/lightly-*.whl
    python benchmarks/gpu.py .gpu/imagenette160.zip --out OUT
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from helpers.common.environment import ROOT  # noqa: E402
from helpers.common.errors import UserError  # noqa: E402
from helpers.common.files import atomic_path  # noqa: E402

CODE = ("benchmarks", "helpers", "scripts")
MOST = 64 << 20  # bytes, with the code


def pack_images(tar: Path, target: Path) -> None:
    """The files of a tar as a zip that stores them as they are."""
    try:
        with (tarfile.open(tar) as source, atomic_path(target) as part,
              zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as out):
            for member in source:
                if member.isfile():
                    name = zipfile.ZipInfo(member.name.removeprefix("./"))
                    out.writestr(name, source.extractfile(member).read())
    except (OSError, tarfile.TarError) as problem:
        why = str(problem).splitlines()[0]
        raise UserError(f"{tar} cannot be packed ({why}): name a whole tar of train/<class>/ "
                        "and val/<class>/") from None


def fetch_wheel(folder: Path) -> None:
    """lightly's wheel, of the version that is installed here."""
    try:
        wanted = f"lightly=={version('lightly')}"
    except PackageNotFoundError:
        raise UserError("lightly is not installed here: run `make run` once, and then with "
                        ".venv/bin/python") from None
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                           "--dest", str(folder), wanted], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UserError(f"pip could not fetch {wanted}: {last}; put its wheel into {folder}")


def code_bytes() -> int:
    """Of all files in `CODE` that git knows."""
    done = subprocess.run(["git", "ls-files", "-z", *CODE], cwd=ROOT, capture_output=True,
                          text=True, check=True)
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return sum(path.stat().st_size for path in paths if path.is_file())


def check_size(folder: Path, code: int) -> str:
    """How much it is altogether, in words.

    Raises:
        UserError: more than `MOST`.
    """
    packed = sum(path.stat().st_size for path in folder.iterdir())
    said = (f"{folder}: {packed / 2**20:.1f} MiB, with {', '.join(CODE)} "
            f"{(packed + code) / 2**20:.1f}")
    if packed + code > MOST:
        raise UserError(f"{said}; at most {MOST >> 20} can be carried: pack fewer images")
    return said


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tar", type=Path)
    parser.add_argument("--out", type=Path, default=ROOT / ".gpu", help="default: .gpu")
    options = parser.parse_args(words)
    options.out.mkdir(parents=True, exist_ok=True)
    pack_images(options.tar, options.out / f"{options.tar.stem}.zip")
    if not list(options.out.glob("lightly-*.whl")):
        fetch_wheel(options.out)
    print(check_size(options.out, code_bytes()))


if __name__ == "__main__":
    try:
        main()
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)

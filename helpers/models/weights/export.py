"""Encoders for other programs: ONNX or torch's exported programs, checked against the original."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from helpers.common.errors import UserError
from helpers.common.files import atomic_path
from helpers.models.encoder import Encoder

TOLERANCE = 1e-4  # of a feature, relative to the largest
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def export_program(encoder: Encoder, path: str | Path) -> Path:
    """Write an encoder as a `torch.export` program (.pt2), which runs without this suite's code.

    It takes images B x C x S x S in [-1, 1], B being free, and gives B x D features:
    `torch.export.load(path).module()(images)`.

    Raises:
        UserError: the written program does not give the encoder's features.
    """
    return _export(encoder, Path(path), torch.export.save, _run_program)


def export_onnx(encoder: Encoder, path: str | Path) -> Path:
    """Write an encoder as ONNX, with inputs `images` and outputs `features` and a free batch size.

    Raises:
        UserError: the packages are missing, or ONNX Runtime does not give the encoder's features.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the ONNX export needs {', '.join(missing)}: pip install {' '.join(missing)}, "
            "or use export_program (a .pt2 file)")
    return _export(encoder, Path(path), _write_onnx, _run_onnx)


def _export(encoder: Encoder, path: Path, write: Any, run: Any) -> Path:
    encoder = copy.deepcopy(encoder).cpu().eval()  # a GPU's name would be written into the program
    size, channels = encoder.config["image_size"], encoder.config["channels"]
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, channels, size, size, generator=generator) * 2 - 1
    example, other = images[:2], images[2:]  # of two batch sizes: the written one must take any
    shapes = {"x": {0: torch.export.Dim("batch", min=1, max=1 << 16)}}
    with torch.no_grad(), warnings.catch_warnings(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")
        # Strict tracing reads the source, in which `len(images)` stays a free number.
        write(torch.export.export(encoder, (example,), dynamic_shapes=shapes, strict=True),
              temporary)
        expected = encoder(other)
        off = (run(temporary, other).cpu() - expected).abs().max()
        off = (off / expected.abs().max().clamp(min=1e-12)).item()
        if not off <= TOLERANCE:
            raise UserError(
                f"the export to {path} differs from the encoder by {off:.1e} of its largest "
                "feature and was not kept: use save_encoder")
    return path


def _run_program(path: Path, images: Tensor) -> Tensor:
    return torch.export.load(path).module()(images)


def _write_onnx(program: torch.export.ExportedProgram, path: Path) -> None:
    torch.onnx.export(program, (), path, dynamo=True, input_names=["images"],
                      output_names=["features"], external_data=False, verbose=False)


def _run_onnx(path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0])

"""Encoders and classifiers for other programs: ONNX or torch's exported programs, checked."""

from __future__ import annotations

import copy
import importlib.util
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.common.errors import UserError
from helpers.common.files import atomic_path, check_writable, unwritable
from helpers.models.classifier_file import KeptClassifier
from helpers.models.encoder import Encoder
from helpers.transforms.functional import GRAY

TOLERANCE = 1e-4  # of a feature, relative to the largest
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


class WholeClassifier(nn.Module):
    """A classifier with all that comes before it: images as they are read from files (uint8, B x 3
    x H x W, of any height and width) to probabilities B x classes."""

    def __init__(self, classifier: KeptClassifier) -> None:
        super().__init__()
        self.encoder, self.head = classifier.encoder, classifier.head
        self.temperature, self.size = classifier.temperature, classifier.image_size
        self.channels = classifier.channels
        self.register_buffer("grey", torch.tensor(GRAY).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2], x.shape[3]
        side = torch.sym_min(height, width)
        span = torch.arange(side, device=x.device)  # a slice would fix which side is the shorter
        x = x.index_select(2, (height - side) // 2 + span)
        x = x.index_select(3, (width - side) // 2 + span).float()
        x = F.interpolate(x, size=(self.size, self.size), mode="bilinear", antialias=True)
        if self.channels == 1:
            x = (x * self.grey).sum(1, keepdim=True)
        return (self.head(self.encoder(x / 127.5 - 1)) / self.temperature).softmax(1)


def export_program(module: Encoder | KeptClassifier, path: str | Path) -> Path:
    """Write a `torch.export` program (.pt2), which runs without this suite's code:
    `torch.export.load(path).module()(images)`.

    Of an encoder it takes images B x C x S x S in [-1, 1], B being free, and gives B x D features;
    of a classifier it takes and gives what `WholeClassifier` does.

    Raises:
        UserError: the written program gives other numbers.
    """
    return _written(module, Path(path), torch.export.save, _run_program)


def export_onnx(module: Encoder | KeptClassifier, path: str | Path) -> Path:
    """Write ONNX with the input `images` and the output `features`, or `probabilities` of a
    classifier; see `export_program`.

    Raises:
        UserError: the packages are missing or do not fit each other, or ONNX Runtime gives other
            numbers.
    """
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"the ONNX export needs {', '.join(missing)}: pip install {' '.join(missing)}, "
            "or use export_program (a .pt2 file)")
    output = "probabilities" if isinstance(module, KeptClassifier) else "features"
    return _written(module, Path(path), partial(_write_onnx, output), _run_onnx)


def _written(module: Encoder | KeptClassifier, path: Path, write: Any, run: Any) -> Path:
    check_writable(path)
    try:
        return _export(module, path, write, run)
    except OSError as problem:
        raise unwritable(path, problem) from None


def _export(module: Encoder | KeptClassifier, path: Path, write: Any, run: Any) -> Path:
    module = copy.deepcopy(module).cpu().eval()  # a GPU's name would be written into the program
    shapes = {0: torch.export.Dim("batch", min=1, max=1 << 16)}
    generator = torch.Generator().manual_seed(0)
    # two sizes of all that is free: the written program must take any
    if isinstance(module, KeptClassifier):
        module = WholeClassifier(module)
        shapes |= {number: torch.export.Dim(name, min=8, max=1 << 15)
                   for number, name in ((2, "height"), (3, "width"))}
        example, other = (torch.randint(0, 256, size, generator=generator, dtype=torch.uint8)
                          for size in ((2, 3, 70, 90), (3, 3, 200, 110)))
    else:
        size, channels = module.config["image_size"], module.config["channels"]
        images = torch.rand(5, channels, size, size, generator=generator) * 2 - 1
        example, other = images[:2], images[2:]
    with torch.no_grad(), warnings.catch_warnings(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")
        # Strict tracing reads the source, in which `len(images)` stays a free number.
        write(torch.export.export(module, (example,), dynamic_shapes={"x": shapes}, strict=True),
              temporary)
        expected = module(other)
        off = (run(temporary, other).cpu() - expected).abs().max()
        off = (off / expected.abs().max().clamp(min=1e-12)).item()
        if not off <= TOLERANCE:
            raise UserError(
                f"the export to {path} differs from the encoder by {off:.1e} of its largest "
                "feature and was not kept: use save_encoder")
    return path


def _run_program(path: Path, images: Tensor) -> Tensor:
    return torch.export.load(path).module()(images)


def _write_onnx(output: str, program: torch.export.ExportedProgram, path: Path) -> None:
    try:
        torch.onnx.export(program, (), path, dynamo=True, input_names=["images"],
                          output_names=[output], external_data=False, verbose=False)
    except OSError:
        raise
    except Exception as problem:  # versions of the packages that do not fit raise all sorts
        why = " ".join(str(problem).split())[:120]
        raise UserError(f"the ONNX export failed ({type(problem).__name__}: {why}): newer versions "
                        f"of torch, {', '.join(ONNX_PACKAGES)} may do it, or export to a name that "
                        "ends in .pt2") from problem


def _run_onnx(path: Path, images: Tensor) -> Tensor:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"images": images.cpu().numpy()})[0])

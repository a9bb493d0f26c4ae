"""Values that lie beside weights and run nothing: an accuracy of NumPy, a path, options, a date.

None of them is made. Each name below stands for a class of this module, which takes whatever the
file says and keeps nothing of it, but for tables and lists: those may hold tensors.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any


class Beside:
    """In place of a value that no encoder needs."""

    def __new__(cls, *arguments: Any) -> Beside:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        pass


class Table:
    """Makes an empty dict, which the file fills, in place of one with options of its own."""

    def __new__(cls, *arguments: Any) -> Any:
        return OrderedDict()


class Row:
    """Makes an empty list, which the file fills."""

    def __new__(cls, *arguments: Any) -> Any:
        return []


def _of(module: str, names: str) -> list[str]:
    return [f"{module}.{name}" for name in names.split()]


NUMPY = [
    *_of("numpy", "ndarray dtype bool bool_ int8 int16 int32 int64 intc longlong uint8 uint16 "
         "uint32 uint64 ulonglong float16 float32 float64 longdouble complex64 complex128 str_ "
         "bytes_ datetime64 timedelta64"),
    *(f"{core}.multiarray.{name}" for core in ("numpy.core", "numpy._core")
      for name in ("scalar", "_reconstruct")),
    *_of("numpy.random._pickle", "__randomstate_ctor __generator_ctor __bit_generator_ctor"),
    *_of("numpy.random", "_mt19937.MT19937 _pcg64.PCG64 mtrand.RandomState "
         "bit_generator.SeedSequence bit_generator.__pyx_unpickle_SeedSequence"),
]
PLAIN = [
    *(f"{module}.{name}" for module in ("pathlib", "pathlib._local")
      for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath",
                   "PureWindowsPath")),
    *_of("datetime", "datetime date time timedelta timezone"),
    *_of("builtins", "object int float bool str bytes list dict tuple frozenset slice range"),
    *_of("argparse", "Namespace"), *_of("types", "SimpleNamespace"), *_of("typing", "Any"),
    *_of("decimal", "Decimal"), *_of("fractions", "Fraction"), *_of("uuid", "UUID SafeUUID"),
    *_of("time", "struct_time"), *_of("copyreg", "_reconstructor"),
]
TRAINING = [
    *_of("torch", "torch_version.TorchVersion contiguous_format preserve_format channels_last "
         "channels_last_3d strided"),
    *_of("torchvision.transforms.functional", "InterpolationMode"),
    *(f"{package}.callbacks.{name}" for package in ("pytorch_lightning", "lightning.pytorch")
      for name in ("model_checkpoint.ModelCheckpoint", "early_stopping.EarlyStopping")),
    *_of("omegaconf", "dictconfig.DictConfig listconfig.ListConfig base.ContainerMetadata "
         "base.Metadata nodes.AnyNode nodes.StringNode nodes.IntegerNode nodes.FloatNode "
         "nodes.BooleanNode nodes.PathNode"),
    *_of("ml_collections.config_dict.config_dict", "ConfigDict FieldReference"),
    *_of("mmengine.logging.history_buffer", "HistoryBuffer"),
]
TABLES = [
    *_of("collections", "defaultdict"), *_of("easydict", "EasyDict"), *_of("munch", "Munch"),
    *_of("addict.addict", "Dict"), *_of("yacs.config", "CfgNode"),
    *_of("fvcore.common.config", "CfgNode"), *_of("detectron2.config.config", "CfgNode"),
    *_of("mmengine.config.config", "ConfigDict"), *_of("mmcv.utils.config", "ConfigDict"),
    *(f"{module}.AttributeDict" for module in (
        "pytorch_lightning.utilities.parsing", "lightning.pytorch.utilities.parsing",
        "lightning_fabric.utilities.data", "lightning.fabric.utilities.data")),
]
# name in a pickle -> what is made in its place
STAND_INS: dict[str, type] = {
    **dict.fromkeys([*NUMPY, *PLAIN, *TRAINING], Beside), **dict.fromkeys(TABLES, Table),
    "collections.deque": Row}

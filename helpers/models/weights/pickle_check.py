"""What a pickle would make, read off its opcodes before anything is made.

A pickle is a program for a small stack machine. Here the machine runs without the machine's
effects: names stay names, calls and containers leave a placeholder that knows its size. So a file
of a few hundred bytes that asks for gigabytes is refused for what it asks.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from dataclasses import dataclass
from typing import Any, BinaryIO

import torch

from helpers.models.weights.harmless import STAND_INS

# what may be called; what each call makes is no larger than its arguments
CALLS = frozenset({
    "builtins.complex", "builtins.set", "_codecs.encode", "collections.Counter",
    "collections.OrderedDict", "torch.Size", "torch.device",
    "torch.serialization._get_layout",
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2"})
HASHING = frozenset({"builtins.set", "collections.Counter", "collections.OrderedDict"})
ITEM_BYTES = {"DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
              "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1,
              "ByteStorage": 1, "BoolStorage": 1, "ComplexFloatStorage": 8,
              "ComplexDoubleStorage": 16, "UntypedStorage": 1}
STORAGES = {f"{module}.{name}": size for name, size in ITEM_BYTES.items()
            for module in ("torch", "torch.cuda", "torch.storage")}
DTYPES = frozenset(str(value) for value in vars(torch).values() if isinstance(value, torch.dtype))
# the opcodes that torch's own restricted reader knows
OPCODES = frozenset({
    "GLOBAL", "NEWOBJ", "REDUCE", "BUILD", "APPEND", "APPENDS", "SETITEM", "SETITEMS", "MARK",
    "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NONE", "NEWFALSE", "NEWTRUE", "EMPTY_TUPLE",
    "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET", "BININT", "BININT1", "BININT2", "BINFLOAT",
    "BINUNICODE", "SHORT_BINSTRING", "BINPERSID", "BINGET", "LONG_BINGET", "BINPUT",
    "LONG_BINPUT", "LONG1", "PROTO", "STOP"})
NUMBERS = frozenset({"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"})
MOST_BYTES = 32 << 20  # of a pickle; the tensors' numbers lie outside of it
# What it may make: a number costs 1, anything else 8 and a call its arguments' size. A training of
# a million steps, whose losses are in its checkpoint, costs a quarter of it.
BUDGET = 4_000_000
OTHER_COST = 8


class Refused(Exception):
    """A pickle that is not read; `what` is the thing in it that nothing here may make, if any."""

    def __init__(self, why: str, what: str = "") -> None:
        super().__init__(why)
        self.what = what


@dataclass(frozen=True)
class Name:
    """A global: `module.name`, never looked up."""

    text: str


@dataclass
class Made:
    """In place of a container or of what a call makes.

    Attributes:
        size: the number of its items.
        tuples: it holds some, or a container in it does. Tuples of the same tuple take for ever to
            hash.
    """

    size: int = 0
    tuples: bool = False


class Machine:
    """Reads pickles, one after another, and adds up what they ask for.

    Attributes:
        claimed: key -> bytes of every storage that a pickle names.
    """

    def __init__(self) -> None:
        self.claimed: dict[str, int] = {}
        self.left = BUDGET

    def read(self, file: BinaryIO) -> None:
        """Read one pickle; `file` is behind it afterwards.

        Raises:
            Refused: it makes something unknown, or more than any weights need.
            Exception: whatever a damaged pickle provokes (ValueError, IndexError, KeyError, ...).
        """
        begin = file.tell()
        self.stack: list[Any] = []
        self.marks: list[int] = []
        memo: dict[int, Any] = {}
        for code, argument, place in pickletools.genops(file):
            self._check_step(code.name, argument, place - begin)
            match code.name:
                case "BINPUT" | "LONG_BINPUT":
                    memo[argument] = self.stack[-1]
                case "BINGET" | "LONG_BINGET":
                    self.stack.append(memo[argument])
                case "MARK":
                    self.marks.append(len(self.stack))
                case name:
                    self._step(name, argument)

    def _check_step(self, code: str, argument: Any, place: int) -> None:
        if code not in OPCODES:
            raise Refused(f"the opcode {code} has no place in weights", code)
        self._pay(1 if code in NUMBERS else OTHER_COST)
        if isinstance(argument, str):
            self._pay(len(argument))
        if place > MOST_BYTES:
            raise Refused(f"more than {MOST_BYTES >> 20} MB beside its tensors")

    def _step(self, code: str, argument: Any) -> None:
        stack = self.stack
        match code:
            case "GLOBAL":
                stack.append(_known(argument))
            case "TUPLE" | "APPENDS" | "SETITEMS":
                items = self._to_mark()
                if code == "TUPLE":
                    stack.append(items)
                else:
                    self._fill(code, items)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(code[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "APPEND" | "SETITEM":
                count = 1 if code == "APPEND" else 2
                items = tuple(stack[-count:])
                del stack[-count:]
                self._fill(code, items)
            case "BUILD":
                self._pay(_size(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(self._call(function, arguments))
            case "BINPERSID":
                self._claim(stack.pop())
                stack.append(Made())
            case "EMPTY_TUPLE":
                stack.append(())
            case "PROTO" | "STOP":
                pass
            case _:  # a constant, or an empty container
                stack.append(Made() if code.startswith("EMPTY") else argument)

    def _to_mark(self) -> tuple[Any, ...]:
        """What lies above the last mark, taken off the stack."""
        mark = self.marks.pop()
        items = tuple(self.stack[mark:])
        del self.stack[mark:]
        return items

    def _fill(self, code: str, items: tuple[Any, ...]) -> None:
        """Put items, or keys and values in turn, into the container on the stack."""
        keys = items[::2] if code.startswith("SETITEM") else ()
        if any(isinstance(part, tuple) for key in keys if isinstance(key, tuple) for part in key):
            raise Refused("a key that is a tuple of tuples")
        self._pay(sum(len(key) for key in keys if isinstance(key, tuple)))
        container = self.stack[-1]
        if isinstance(container, Made):
            container.size += len(items)
            container.tuples |= any(map(_has_tuples, items))

    def _call(self, function: Any, arguments: Any) -> Made:
        name = getattr(function, "text", "a call of what is no function")
        if name in STAND_INS:
            return Made()
        if name not in CALLS:
            raise Refused(f"it calls {name}", name)
        if name in HASHING and any(map(_has_tuples, arguments)):
            raise Refused(f"{name} of tuples")
        size = sum(map(_size, arguments))
        self._pay(size)
        return Made(size)

    def _claim(self, what: Any) -> None:
        """Note a storage, which torch describes by ("storage", type, key, device, numbers, ...)."""
        if not isinstance(what, tuple) or len(what) not in (5, 6) or what[0] != "storage":
            raise Refused("it names an object outside of the file", "a persistent object")
        kind, key, count = what[1], str(what[2]), what[4]
        if not isinstance(kind, Name) or kind.text not in STORAGES or type(count) is not int:
            raise Refused("a storage of an unknown type", getattr(kind, "text", "a storage"))
        if count < 0:
            raise Refused(f"a storage of {count} numbers")
        self.claimed[key] = max(self.claimed.get(key, 0), count * STORAGES[kind.text])

    def _pay(self, cost: int) -> None:
        self.left -= cost
        if self.left < 0:
            raise Refused("more values beside its tensors than any weights have")


def _known(argument: str) -> Name:
    module, _, name = argument.partition(" ")
    if (module, name) in NAME_MAPPING:  # names of Python 2
        module, name = NAME_MAPPING[module, name]
    text = f"{IMPORT_MAPPING.get(module, module)}.{name}"
    if not any(text in known for known in (CALLS, STAND_INS, STORAGES, DTYPES)):
        raise Refused(f"it names {text}", text)
    return Name(text)


def _has_tuples(value: Any) -> bool:
    return isinstance(value, tuple) or isinstance(value, Made) and value.tuples


def _size(value: Any) -> int:
    """How many items a value has, as far as a call would copy them."""
    match value:
        case Made():
            return value.size
        case tuple() | str():
            return len(value)
    return 0

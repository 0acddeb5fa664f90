"""Arrays, lists and numbers out of a pickle, without Python's unpickler: nothing in it can run.

A pickle is a program. This machine knows the operations that put plain values together, and five
names, each of which stands for something it does itself: NumPy's arrays and their types, and
TensorFlow's list that is a list. Whatever else a file asks for, it is refused. Sizes are checked
before memory is taken, and all that is made of a file may be ``SHARE`` times as large as it;
lists that hold one another in a circle, or fan out, are refused.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from volvelle.emulator.errors import EmulatorError

MOST_OPERATIONS = 500_000
MOST_VALUES = 100_000  # after all that is shared is written out
DEEPEST = 20
SHARE = 4  # of a file's size: arrays made of its bytes, of bytes in texts, and both written out
SPARE = 2**16  # bytes besides
RECONSTRUCT = "multiarray._reconstruct"
SCALAR = "multiarray.scalar"
FROM_BUFFER = "numeric._frombuffer"
ARRAY, TYPE, WRAPPER, ENCODE = "numpy.ndarray", "numpy.dtype", "ListWrapper", "_codecs.encode"
EMPTY = "bytes"  # of an array without elements, in old protocols
NAMES = {
    **{f"numpy.{core}.{name}": name for core in ("core", "_core")
       for name in (RECONSTRUCT, SCALAR, FROM_BUFFER)},
    ARRAY: ARRAY,
    TYPE: TYPE,
    ENCODE: ENCODE,
    "__builtin__.bytes": EMPTY,
    "tensorflow.python.trackable.data_structures.ListWrapper": WRAPPER,
    "tensorflow.python.training.tracking.data_structures.ListWrapper": WRAPPER,
}  # fmt: skip
CODES = {"f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1"}
_PUSHED = {
    "NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": (),
}  # fmt: skip
_GIVEN = {
    "BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT",
    "BINUNICODE", "BINUNICODE8", "SHORT_BINUNICODE", "UNICODE", "BINBYTES", "BINBYTES8",
    "SHORT_BINBYTES", "BYTEARRAY8",
}  # fmt: skip
_MARK = object()


@dataclass(frozen=True)
class _Name:
    name: str


@dataclass
class _Type:
    code: str
    order: str = "="

    def dtype(self) -> np.dtype[Any]:
        _require(self.code in CODES, f"an array of type {self.code!r:.20}")
        return np.dtype(self.code).newbyteorder(self.order)  # type: ignore[call-overload]


@dataclass
class _Array:
    """An array that BUILD fills; of objects: the list of them."""

    value: Any = None


@dataclass
class _Room:
    """What may still be made of a file: each piece is paid for before it is made."""

    bytes: int
    values: int = MOST_VALUES

    def take(self, size: int) -> None:
        self.bytes -= size
        _require(self.bytes >= 0, "the same bytes over and over")


@dataclass
class _Machine:
    room: _Room
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        _require(bool(self.stack) and self.stack[-1] is not _MARK, "a stack that is empty")
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        values: list[Any] = []
        while self.stack:
            value = self.stack.pop()
            if value is _MARK:
                return values[::-1]
            values.append(value)
        raise EmulatorError("the pickle takes from before its beginning")

    def top(self, kind: type) -> Any:
        _require(bool(self.stack) and type(self.stack[-1]) is kind, f"no {kind.__name__} to fill")
        return self.stack[-1]

    def do(self, name: str, given: Any) -> None:
        """One operation."""
        if name in ("PROTO", "FRAME"):
            return
        if name == "MARK":
            self.stack.append(_MARK)
        elif name in _PUSHED:
            self.stack.append(_PUSHED[name])
        elif name in _GIVEN:
            fits = not isinstance(given, int) or abs(given) < 2**63
            _require(fits, "a number of more than 64 bits")
            self.stack.append(given)
        elif name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            _require(bool(self.stack) and self.stack[-1] is not _MARK, "nothing to remember")
            self.memo[len(self.memo) if name == "MEMOIZE" else given] = self.stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            _require(given in self.memo, "what it never remembered")
            self.stack.append(self.memo[given])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._find(given)
        else:
            self._assemble(name)

    def _find(self, given: Any) -> None:
        if given is None:
            attribute, module = self.pop(), self.pop()
            _require(isinstance(attribute, str) and isinstance(module, str), "a name that is none")
            name = f"{module}.{attribute}"
        else:
            name = str(given).replace(" ", ".", 1)
        _require(name in NAMES, f"{name!r:.80}, which is not on the list")
        self.stack.append(_Name(NAMES[name]))

    def _assemble(self, name: str) -> None:
        if name in ("EMPTY_LIST", "EMPTY_DICT"):
            self.stack.append([] if name == "EMPTY_LIST" else {})
        elif name == "LIST":
            self.stack.append(self.since_mark())
        elif name == "TUPLE":
            self.stack.append(tuple(self.since_mark()))
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            values = [self.pop() for _ in range(int(name[-1]))]
            self.stack.append(tuple(values[::-1]))
        elif name in ("APPEND", "APPENDS"):
            values = [self.pop()] if name == "APPEND" else self.since_mark()
            self.top(list).extend(values)
        elif name in ("DICT", "SETITEM", "SETITEMS"):
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.since_mark()
            if name == "DICT":
                self.stack.append({})
            keys = values[::2]
            sound = len(values) % 2 == 0 and all(type(k) in (str, int) for k in keys)
            _require(sound, "a dictionary whose keys are no names")
            self.top(dict).update(zip(keys, values[1::2], strict=True))
        elif name == "REDUCE":
            given, function = self.pop(), self.pop()
            _require(type(function) is _Name and type(given) is tuple, "a call of what is no name")
            self.stack.append(_call(function.name, given, self.room))
        elif name == "BUILD":
            state = self.pop()
            _require(type(state) is tuple, "a state that is none")
            _build(self.stack[-1] if self.stack else None, state, self.room)
        else:
            raise EmulatorError(f"the pickle does {name}, which plain values do not need")


def read_pickle(content: bytes) -> Any:
    """Lists, tuples, dictionaries, numbers, texts and arrays of a pickle.

    Raises:
        EmulatorError: it is damaged, or asks for anything else.
    """
    machine = _Machine(_Room(SHARE * len(content) + SPARE))
    try:
        for count, (operation, given, _) in enumerate(pickletools.genops(content)):
            _require(count < MOST_OPERATIONS, f"more than {MOST_OPERATIONS} operations")
            if operation.name == "STOP":
                _require(len(machine.stack) == 1, "an end in the middle")
                return _resolved(machine.pop(), machine.room, DEEPEST)
            machine.do(operation.name, given)
    except (ValueError, OverflowError, UnicodeError, TypeError) as error:
        raise EmulatorError(f"the pickle is damaged ({' '.join(str(error).split())})") from error
    raise EmulatorError("the pickle is damaged (it has no end)")


def _require(fits: bool, what: str) -> None:
    if not fits:
        raise EmulatorError(
            f"the pickle holds {what}; only arrays, lists and numbers are read from one"
        )


def _call(name: str, given: tuple[Any, ...], room: _Room) -> Any:
    if name == RECONSTRUCT and len(given) == 3 and given[0] == _Name(ARRAY):
        return _Array()
    if name == TYPE and given and isinstance(given[0], str):
        return _Type(given[0])
    if name == SCALAR and len(given) == 2 and type(given[0]) is _Type:
        return _numbers(given[1], given[0], (), "C", room).item()
    if name == FROM_BUFFER and len(given) == 4 and type(given[1]) is _Type:
        return _Array(_numbers(given[0], given[1], given[2], given[3], room))
    if name == EMPTY and not given:
        return b""
    if name == WRAPPER and len(given) == 1 and type(given[0]) is list:
        return given[0]
    if name == ENCODE and len(given) == 2 and given[1] == "latin1" and isinstance(given[0], str):
        room.take(len(given[0]))
        return given[0].encode("latin1")
    raise EmulatorError(f"the pickle calls {name} in a way that arrays and lists do not need")


def _build(target: Any, state: tuple[Any, ...], room: _Room) -> None:
    """Fill an array or finish a type, as NumPy's ``__setstate__`` does."""
    if type(target) is _Type and len(state) >= 2 and state[1] in ("<", ">", "=", "|"):
        target.order = state[1]
    elif type(target) is _Array and len(state) == 5 and type(state[2]) is _Type:
        _, shape, kind, fortran, content = state
        if kind.code in ("O", "O8") and type(content) is list:
            _require(shape in ((), (len(content),)), "an array of objects of another shape")
            _require(bool(content), "an array of no objects")
            target.value = content if shape else content[0]
        else:
            target.value = _numbers(content, kind, shape, "F" if fortran else "C", room)
    else:
        raise EmulatorError("the pickle changes what is neither an array nor its type")


def _numbers(content: Any, kind: _Type, shape: Any, order: Any, room: _Room) -> np.ndarray:
    _require(isinstance(content, (str, bytes, bytearray)), "an array that is no bytes")
    room.take(len(content))
    if isinstance(content, str):
        content = content.encode("latin1")
    sound = type(shape) is tuple and all(type(n) is int and n >= 0 for n in shape)
    _require(sound and len(shape) <= 4, "an array of no shape")
    dtype = kind.dtype()
    _require(len(content) == prod(shape) * dtype.itemsize, "an array of another size than it says")
    array = np.frombuffer(bytes(content), dtype).reshape(shape, order="F" if order == "F" else "C")
    return array.astype(dtype.newbyteorder("="))


def _resolved(value: Any, room: _Room, depth: int) -> Any:
    """Plain values, with arrays in the place of what stands for them."""
    room.values -= 1
    _require(room.values > 0 and depth > 0, "lists within lists without end")
    if isinstance(value, np.ndarray):
        room.take(value.nbytes)  # whoever takes two that are one copies both
    if type(value) is _Array:
        _require(value.value is not None, "an array without content")
        return _resolved(value.value, room, depth - 1)
    if isinstance(value, (list, tuple)):
        return [_resolved(each, room, depth - 1) for each in value]
    if isinstance(value, dict):
        return {key: _resolved(each, room, depth - 1) for key, each in value.items()}
    plain = value is None or isinstance(value, (bool, int, float, str, np.ndarray))
    _require(plain, f"a {type(value).__name__}")
    return value

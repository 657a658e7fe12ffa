"""Reading a pickle as data: whatever the file asks for, nothing is imported and nothing called.

A pickle is a program for a small stack machine, and Python's own machine can call any function that
can be imported. Limiting what it may import still leaves it open to files that exhaust memory or
crash it. The machine here knows the instructions that lists, dictionaries, numbers, texts and NumPy
arrays need. None of them calls anything: an array becomes a record of its description.
"""

import pickletools
from dataclasses import dataclass
from typing import Any

from siamese.base.errors import InputError

MAX_STEPS = 2_000_000  # CIFAR-100's largest pickle takes 300,000

_RECONSTRUCT = ("numpy.core.multiarray _reconstruct", "numpy._core.multiarray _reconstruct")
_ARRAY = "numpy ndarray"
_DTYPE = "numpy dtype"
_ENCODE = "_codecs encode"  # how Python 3 writes bytes into a pickle that Python 2 can read
# Instructions whose argument is the value.
_VALUES = {
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    *("BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT"),
}
_KNOWN = {*_RECONSTRUCT, _ARRAY, _DTYPE, _ENCODE}


@dataclass(frozen=True)
class _Name:
    """Something importable that the pickle refers to. It is not imported."""

    name: str


@dataclass
class PickledDtype:
    """What a pickle says about an array's element type, such as `u1`; unchecked."""

    code: Any
    state: Any = None


@dataclass
class PickledArray:
    """What a pickle says about a NumPy array; unchecked.

    Attributes:
        state: version, shape, `PickledDtype`, whether in column-major order, bytes.
    """

    state: Any = None


def read_pickle(content: bytes) -> Any:
    """Return what a pickle holds, made of plain Python values and of `PickledArray` records.

    Byte strings of Python 2 are returned as bytes; the keys of dictionaries as text.

    Args:
        content: a pickle, protocol 1 or later.

    Raises:
        InputError: it is damaged, or asks for more than plain data. The message names no file.
    """
    try:
        return _run(content)
    except InputError:
        raise
    except (ValueError, LookupError, TypeError, OverflowError, MemoryError) as error:
        reason = str(error)[:200]  # it may quote the file at length
        raise InputError(f"not a readable pickle ({type(error).__name__}: {reason})") from None


def _run(content: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def items_since_mark() -> list[Any]:
        mark = marks.pop()
        items = stack[mark:]
        del stack[mark:]
        return items

    argument: Any
    for step, (opcode, argument, _) in enumerate(pickletools.genops(content)):
        if step > MAX_STEPS:
            raise InputError(f"a pickle of more than {MAX_STEPS:,} instructions")
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "POP":
                stack.pop()
            case "POP_MARK":
                items_since_mark()
            # Texts of Python 2 are bytes; pickletools shows them as Latin-1.
            case "BINSTRING" | "SHORT_BINSTRING":
                stack.append(argument.encode("latin-1"))
            case name if name in _VALUES:
                stack.append(argument)
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode.name == "NEWTRUE")
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "EMPTY_DICT":
                stack.append({})
            case "LIST":
                stack.append(items_since_mark())
            case "TUPLE":
                stack.append(tuple(items_since_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(opcode.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                stack.append(_set_items({}, items_since_mark()))
            case "APPEND":
                items = [stack.pop()]
                _extend(stack[-1], items)
            case "APPENDS":
                items = items_since_mark()
                _extend(stack[-1], items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack[-1], [key, value])
            case "SETITEMS":
                items = items_since_mark()
                _set_items(stack[-1], items)
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_name(argument))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_name(f"{module} {name}"))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_reduce(function, arguments))
            case "BUILD":
                state = stack.pop()
                _build(stack[-1], state)
            case _:
                raise InputError(f"a pickle with {opcode.name}, which plain data does not need")
    raise InputError("a pickle that does not end")


def _name(name: str) -> _Name:
    if name not in _KNOWN:
        shown = repr(name[:100].replace(" ", "."))
        raise InputError(f"a pickle that asks for {shown}, which is no data")
    return _Name(name)


def _extend(target: Any, items: list[Any]) -> None:
    if type(target) is not list:
        raise InputError("a pickle that appends to something that is no list")
    target.extend(items)


def _set_items(target: Any, items: list[Any]) -> dict[str, Any]:
    if type(target) is not dict or len(items) % 2:
        raise InputError("a pickle with a malformed dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | bytes):
            raise InputError("a pickle with a dictionary whose keys are no texts")
        target[key if isinstance(key, str) else key.decode()] = value
    return target


def _reduce(function: Any, arguments: Any) -> Any:
    name = function.name if isinstance(function, _Name) else None
    if name in _RECONSTRUCT:
        return PickledArray()  # its contents follow, by BUILD
    match name, arguments:
        case "numpy dtype", (code, *_):
            return PickledDtype(code)
        case "_codecs encode", (str(text), "latin1" | b"latin1"):
            return text.encode("latin-1")
    raise InputError("a pickle that calls something with arguments unknown for plain data")


def _build(target: Any, state: Any) -> None:
    if not isinstance(target, PickledArray | PickledDtype) or type(state) is not tuple:
        raise InputError("a pickle that gives a state to something that has none")
    target.state = state

import contextlib
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siamese.base.errors import InputError
from siamese.sources import plain_pickle
from siamese.sources.plain_pickle import PickledArray, PickledDtype, read_pickle
from tests.support.tiny_archive import array_ops, pickle2

texts = st.text(max_size=5)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(texts, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(value=plain, protocol=st.integers(1, pickle.HIGHEST_PROTOCOL))
def test_plain_values_read_as_pickle_reads_them(value: Any, protocol: int) -> None:
    content = pickle.dumps(value, protocol)
    assert read_pickle(content) == pickle.loads(content)


def test_texts_of_python_2_are_bytes_and_keys_are_text() -> None:
    assert read_pickle(pickle2({b"name": [b"a\xff", 1, (2, None)]})) == {
        "name": [b"a\xff", 1, (2, None)]
    }


def check_array(record: Any, array: np.ndarray) -> None:
    assert isinstance(record, PickledArray)
    _, shape, dtype, is_fortran, raw = record.state
    assert isinstance(dtype, PickledDtype)
    assert dtype.code in ("u1", b"u1")
    assert (shape, bool(is_fortran), raw) == (array.shape, False, array.tobytes())


@pytest.mark.parametrize("protocol", [1, 2, 3, 4])
def test_an_array_becomes_a_record(protocol: int) -> None:
    array = np.arange(200, 240, dtype=np.uint8).reshape(4, 10)
    check_array(read_pickle(pickle2({b"data": array}))["data"], array)
    check_array(read_pickle(pickle.dumps({"data": array}, protocol))["data"], array)


HOSTILE = {
    "os.system": lambda shell: b"\x80\x02cposix\nsystem\n" + shell + b"\x85R.",
    "by INST": lambda shell: b"(" + shell + b"iposix\nsystem\n.",
    "by OBJ": lambda shell: b"(cposix\nsystem\n" + shell + b"o.",
    "by STACK_GLOBAL": lambda shell: b"\x80\x04\x8c\x05posix\x8c\x06system\x93" + shell + b"\x85R.",
    "eval": lambda shell: b"c__builtin__\neval\n" + shell + b"\x85R.",
    "getattr": lambda shell: b"cbuiltins\ngetattr\n(" + shell + shell + b"tR.",
    "numpy.load": lambda shell: b"cnumpy\nload\n" + shell + b"\x85R.",
    "dotted name": lambda shell: b"cnumpy\nndarray.tofile\n" + shell + b"\x85R.",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_pickle_that_would_run_code_is_refused(name: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    command = f"touch {canary}".encode()
    shell = b"X" + len(command).to_bytes(4, "little") + command
    with pytest.raises(InputError, match=r"no data|plain data does not need"):
        read_pickle(HOSTILE[name](shell))
    assert not canary.exists()


def test_the_canary_sings_for_pickle_itself(tmp_path: Path) -> None:
    """Or the test above would show nothing."""
    canary = tmp_path / "canary"
    command = f"touch {canary}".encode()
    pickle.loads(b"cposix\nsystem\nX" + len(command).to_bytes(4, "little") + command + b"\x85R.")
    assert canary.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"no pickle at all",
        b"\x80\x02}",  # no end
        b"\x80\x02t.",  # a tuple without a mark
        b"\x80\x02h\x05.",  # nothing was stored under 5
        b"\x80\x02K\x01K\x02a.",  # append to a number
        b"\x80\x02K\x01K\x02K\x03s.",  # a key in a number
        b"\x80\x02}(K\x01u.",  # a key without a value
        b"\x80\x02}K\x01K\x02s.",  # a key that is no text
        b"\x80\x02}U\x01\xffK\x02s.",  # a key that is no UTF-8
        b"\x80\x02T\xff\xff\xff\x7fabc.",  # two gigabytes announced, three bytes there
        b"\x80\x02K\x01K\x02b.",  # a state for a number
        b"\x80\x02cnumpy\ndtype\nN)b.",  # a state for a class
        b"\x80\x02K\x01K\x02R.",  # a call of a number
        b"\x80\x02cnumpy\ndtype\n)R.",  # too few arguments
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R.",
        b"\x80\x02Pperson\n.",  # persistent id
        b"\x80\x02\x82\x01.",  # extension registry
        b"\x80\x05\x8f.",  # a set
    ],
)
def test_a_malformed_pickle_is_refused(content: bytes) -> None:
    with pytest.raises(InputError):
        read_pickle(content)


def test_work_without_an_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain_pickle, "MAX_STEPS", 1000)
    assert read_pickle(b"\x80\x02]" + b"(e" * 490 + b".") == []
    with pytest.raises(InputError):
        read_pickle(b"\x80\x02]" + b"(e" * 510 + b".")


def test_what_would_exhaust_or_crash_pickle_is_harmless() -> None:
    # Python's own unpickler makes a table with room for index 4,294,967,295.
    assert read_pickle(b"\x80\x02Nr\xff\xff\xff\xff.") is None
    # Looking up a key nested this deep overflows its stack.
    with pytest.raises(InputError, match="keys are no texts"):
        read_pickle(b"\x80\x02}N" + b"\x85" * 100_000 + b"K\x01s.")


def test_a_list_may_hold_itself() -> None:
    value = read_pickle(b"\x80\x02]q\x00h\x00a.")
    assert value[0] is value


VALID = pickle2({b"names": [b"a", b"b"], b"n": -7, b"data": array_ops((2, 2), b"abcd")})


@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(VALID) - 1), st.integers(0, 255)), min_size=1, max_size=4
    ),
    length=st.integers(0, len(VALID)),
)
def test_any_damage_ends_in_a_value_or_an_input_error(
    edits: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(VALID)
    for position, byte in edits:
        content[position] = byte
    for damaged in (bytes(content), bytes(content[:length])):
        with contextlib.suppress(InputError):
            read_pickle(damaged)

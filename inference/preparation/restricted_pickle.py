"""Reading pickles of plain numbers, as MuseTalk's avatar caches hold them, without running what else a pickle can name.

Allowed are lists, tuples, ints, floats and NumPy's scalars. These are decoded here: NumPy's own reconstruction is not
made for files of strangers.
"""

import io
import pickle
import struct
from pathlib import Path
from typing import Any

MAX_BYTES = 64 << 20  # 100,000 boxes take about 6 MB
_INTEGERS = {"i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q"}
_FORMATS = _INTEGERS | {"f4": "f", "f8": "d"}  # of struct, by NumPy's code


class _DType:
    """Stands for ``numpy.dtype``: a number's type and byte order."""

    def __init__(self, code: str, *_: object) -> None:
        if code not in _FORMATS:
            raise pickle.UnpicklingError(f"numpy type {code!r} is no number")
        self.code = code
        self.order = "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _scalar(dtype: _DType, data: bytes | str) -> int | float:
    """Stands for NumPy's ``scalar``; protocols before 3 write bytes as Latin-1 text."""
    raw = data.encode("latin-1") if isinstance(data, str) else data
    value: int | float = struct.unpack(dtype.order + _FORMATS[dtype.code], raw)[0]
    return value


def _encode(text: str, encoding: str) -> bytes:
    """Stands for ``_codecs.encode``, with which protocols before 3 write bytes."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"encoding {encoding!r}")
    return text.encode("latin-1")


_KNOWN = {
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Only what stands for NumPy's numbers; raises UnpicklingError for any other name."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which is code") from None


def load_numbers(path: Path) -> Any:
    """The lists and numbers of a pickle. Raises ValueError, in one line, for anything else; OSError."""
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ValueError(f"{path}: {size} bytes, at most {MAX_BYTES} are read")
    try:
        return _Unpickler(io.BytesIO(path.read_bytes())).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise ValueError(f"{path}: refused, not a pickle of plain numbers ({error})") from error

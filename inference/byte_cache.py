"""A least-recently-used cache with a limit in bytes. Not thread-safe: its owner calls it from one thread."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class ByteCache(Generic[Key, Value]):
    """Values by key; the least recently used go first when the limit is passed. A single value may exceed it."""

    def __init__(self, limit_bytes: int, size_of: Callable[[Value], int]) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self._size_of = size_of
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """The cached value, or a new one from ``make``, whose exceptions pass through and cache nothing."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        value = make()
        self._values[key] = value
        self.used_bytes += self._size_of(value)
        while self.used_bytes > self.limit_bytes and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self.used_bytes -= self._size_of(oldest)
        return value

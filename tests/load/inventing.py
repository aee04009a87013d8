"""Messages that nobody would write: of the contract's types with values from the edges, and bytes that are spoiled."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

SHARE_SET: Final = 0.5
"""Of a message's fields."""
MOST_REPEATED: Final = 3
DEEPEST: Final = 6
"""Levels of messages within messages; the contract has no more, google.protobuf.Any aside."""

INTEGERS: Final = (0, 1, -1, 2, 7, 25, 30, 50, 64, 80, 100, 512, 1_000, 8_000, 16_000, 24_000, 48_000, 100_000)
EDGES_32: Final = (2**31 - 1, -(2**31), 65_535, -25)
EDGES_64: Final = (*EDGES_32, 2**63 - 1, -(2**63), 2**53)
FLOATS: Final = (0.0, 0.5, 1.0, 0.7, -0.0, -1.0, 2.0, 1e-45, 3.4e38, math.nan, math.inf, -math.inf)
TEXTS: Final = (
    "",
    "a",
    "Hello there.",
    " ",
    "\n",
    "\x00",
    "ada\n",
    "avatars/ada",
    "avatars/../../etc/passwd",
    "voices/rachel",
    "voices/rachel\n",
    "voices/%2e%2e%2f",
    "en",
    "en-US",
    "en\r\nX-Evil: 1",
    "image/png",
    "video/mp4",
    '{"type": "object"}',
    '{"type": "object", "description": "\\ud800"}',
    '{"type": "object", "maximum": 1e999}',
    '{"type": "object", "maximum": NaN}',
    "[" * 2_000,
    "1" * 5_000,
    "\u202egnirts\u202c \U0001f600 e\u0301 \ufdd0\uffff",
    "e" + "\u0301" * 500,
    "<break time='100s'/>{{x}} ${x} %s %n",
    "x" * 64,
    "x" * 65,
    "x" * 4_000,
    "x" * 4_001,
    "Nothing ends this " * 200,
    "00000000-0000-0000-0000-000000000000",
)
DATA: Final = (b"", b"\0", bytes(2), bytes(640), bytes(3_200), b"\xff" * 641, b"\x80" * 64_000, bytes(64_001))


class Inventor:
    """Makes up messages; the same `seed` makes up the same."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def fill(self, message: Message, *, share: float = SHARE_SET, level: int = 0) -> Message:
        """Set about `share` of the fields of `message`, whatever they mean; returns it."""
        descriptor: Any = message.DESCRIPTOR
        taken = {oneof.name: self.random.choice(oneof.fields).name for oneof in descriptor.oneofs}
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof and len(oneof.fields) > 1:
                if field.name == taken[oneof.name] and self.random.random() < 0.97:
                    self._set(message, field, share, level)
            elif self.random.random() < share:
                self._set(message, field, share, level)
        return message

    def _set(self, message: Message, field: FieldDescriptor, share: float, level: int) -> None:
        value: Any = getattr(message, field.name)
        if field.message_type and field.message_type.GetOptions().map_entry:
            for _ in range(self.random.randint(0, MOST_REPEATED)):
                value[self._scalar(field.message_type.fields_by_name["key"])] = self._scalar(
                    field.message_type.fields_by_name["value"]
                )
        elif field.is_repeated:
            for _ in range(self.random.choice((0, 1, 1, 2, MOST_REPEATED, 80))):
                if field.message_type:
                    self.fill(value.add(), share=share, level=level + 1)
                else:
                    value.append(self._scalar(field))
        elif field.message_type:
            value.SetInParent()
            if level < DEEPEST:
                self.fill(value, share=share, level=level + 1)
        else:
            setattr(message, field.name, self._scalar(field))

    def _scalar(self, field: FieldDescriptor) -> Any:
        match field.cpp_type:
            case FieldDescriptor.CPPTYPE_STRING:
                return self.random.choice(DATA if field.type == FieldDescriptor.TYPE_BYTES else TEXTS)
            case FieldDescriptor.CPPTYPE_BOOL:
                return self.random.random() < 0.5
            case FieldDescriptor.CPPTYPE_ENUM:
                return self.random.choice((*range(len(field.enum_type.values)), 99, -1))
            case FieldDescriptor.CPPTYPE_FLOAT | FieldDescriptor.CPPTYPE_DOUBLE:
                return self.random.choice(FLOATS)
            case FieldDescriptor.CPPTYPE_INT64:
                return self.random.choice(INTEGERS + EDGES_64)
            case _:
                return self.random.choice(INTEGERS + EDGES_32)

    def spoil(self, data: bytes) -> bytes:
        """`data` with something done to it that no generated code would do."""
        spoiled: Callable[[bytes], bytes] = self.random.choice(self._ways)
        return spoiled(data)

    @property
    def _ways(self) -> Sequence[Callable[[bytes], bytes]]:
        return (
            self._flipped,
            self._flipped,
            self._truncated,
            self._doubled,
            self._inserted,
            self._lengthened,
            self._of_other_types,
            self._nested,
            self._not_utf8,
            self._unknown,
            self._huge,
        )

    def _flipped(self, data: bytes) -> bytes:
        flipped = bytearray(data or b"\0")
        for _ in range(self.random.randint(1, 8)):
            flipped[self.random.randrange(min(len(flipped), 400))] ^= 1 << self.random.randrange(8)
        return bytes(flipped)

    def _truncated(self, data: bytes) -> bytes:
        return data[: self.random.randrange(len(data) + 1)]

    def _doubled(self, data: bytes) -> bytes:
        begin = self.random.randrange(len(data) + 1)
        return data + data[begin:]

    def _inserted(self, data: bytes) -> bytes:
        at = self.random.randrange(min(len(data), 200) + 1)
        return data[:at] + self.random.randbytes(self.random.randint(1, 40)) + data[at:]

    def _lengthened(self, data: bytes) -> bytes:
        """A varint of ten bytes and more, in the place of a length."""
        return data[:1] + b"\xff" * self.random.randint(5, 30) + b"\x01" + data[1:]

    def _of_other_types(self, data: bytes) -> bytes:
        """The payload's own field, as each other wire type."""
        number = self.random.randint(1, 12)
        wire_type = self.random.choice((0, 1, 3, 4, 5, 6, 7))
        return bytes([number << 3 | wire_type]) + data[:16]

    def _nested(self, data: bytes) -> bytes:
        """Groups within groups, or messages within messages, some of them closed."""
        levels = self.random.choice((10, 99, 101, 5_000, 30_000))
        closed = b"\x8c\x01" * self.random.choice((0, levels))
        return b"\x8b\x01" * levels + closed[: 60_000 - 2 * levels] + data[:100]

    def _not_utf8(self, data: bytes) -> bytes:
        """A string of the payload that is no UTF-8."""
        bad = self.random.choice((b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xc3"))
        text = b"\x0a" + bytes([len(bad)]) + bad
        return bytes([self.random.choice((1, 3, 4)) << 3 | 2, len(text)]) + text

    def _unknown(self, data: bytes) -> bytes:
        """Fields that no version of the contract has: allowed, and to be ignored."""
        return data + b"\xfa\x3f\x05later" + b"\xf8\x3f\x07"

    def _huge(self, data: bytes) -> bytes:
        """More than a message may have."""
        return data + b"\xfa\x3f\x80\x80\x10" + bytes(self.random.choice((65_536, 262_144)))

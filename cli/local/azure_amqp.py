"""AMQP 1.0 as bytes: values, frames and the sections of a message.

Written for the local broker, since no published package is a Service Bus for this machine and the one protocol library
there is (Qpid Proton) must be compiled. Source of every number: the OASIS standard AMQP 1.0, parts 1 to 3.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

HEADER: Final = b"AMQP\x00\x01\x00\x00"
SASL_HEADER: Final = b"AMQP\x03\x01\x00\x00"
FRAME_AMQP: Final = 0
FRAME_SASL: Final = 1
FRAME_HEAD: Final = 8


class AmqpError(ValueError):
    """What came is not AMQP 1.0."""


class Symbol(str):
    """A symbol: text in ASCII."""

    __slots__ = ()


class UByte(int):
    """An unsigned byte."""


class UShort(int):
    """An unsigned integer of 16 bits."""


class UInt(int):
    """An unsigned integer of 32 bits."""


class ULong(int):
    """An unsigned integer of 64 bits."""


class Int(int):
    """A signed integer of 32 bits; a plain ``int`` is one of 64."""


class Timestamp(int):
    """Milliseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Described:
    """A value with its descriptor."""

    descriptor: Any
    value: Any


@dataclass(frozen=True, slots=True)
class Array:
    """An array of symbols, the only kind that is sent here."""

    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Raw:
    """A value of a type that is only passed on: the bytes that it came as."""

    data: bytes


# -- reading -----------------------------------------------------------------------------------------------------------

_CONSTANTS: Final[dict[int, Any]] = {0x40: None, 0x41: True, 0x42: False, 0x43: UInt(0), 0x44: ULong(0), 0x45: []}
_FIXED: Final[dict[int, tuple[str, Callable[[Any], Any]]]] = {
    0x56: ("?", bool),
    0x50: ("B", UByte),
    0x51: ("b", int),
    0x52: ("B", UInt),
    0x53: ("B", ULong),
    0x54: ("b", Int),
    0x55: ("b", int),
    0x60: (">H", UShort),
    0x61: (">h", int),
    0x70: (">I", UInt),
    0x71: (">i", Int),
    0x72: (">f", float),
    0x80: (">Q", ULong),
    0x81: (">q", int),
    0x82: (">d", float),
    0x83: (">q", Timestamp),
}
_BINARY: Final = frozenset({0xA0, 0xB0})
_TEXT: Final = frozenset({0xA1, 0xB1})
_MOST_DEPTH: Final = 16


class Reader:
    """Reads values one after the other; raises AmqpError on what is not AMQP."""

    def __init__(self, data: bytes) -> None:
        self.data: Final = data
        self.at = 0
        self._depth = 0

    def value(self) -> Any:
        """The next value. Text is ``str``, a binary ``bytes``, a list ``list``, a map ``dict``."""
        self._depth += 1
        if self._depth > _MOST_DEPTH:
            raise AmqpError("nested too deeply")
        try:
            return self._value(self._take(1)[0])
        except (struct.error, UnicodeDecodeError, TypeError) as error:
            raise AmqpError(type(error).__name__) from error
        finally:
            self._depth -= 1

    def left(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def _take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) < count:
            raise AmqpError("cut short")
        self.at += count
        return taken

    def _size(self, code: int) -> int:
        return self._take(1)[0] if code >> 4 in (0xA, 0xC, 0xE) else int(struct.unpack(">I", self._take(4))[0])

    def _value(self, code: int) -> Any:
        if code == 0:
            return Described(self.value(), self.value())
        if code in _CONSTANTS:
            return [] if code == 0x45 else _CONSTANTS[code]
        if code in _FIXED:
            form, make = _FIXED[code]
            return make(struct.unpack(form, self._take(struct.calcsize(form)))[0])
        if code == 0x98:
            return uuid.UUID(bytes=self._take(16))
        if code in (0x73, 0x74, 0x84, 0x94):
            return Raw(bytes([code]) + self._take({0x7: 4, 0x8: 8, 0x9: 16}[code >> 4]))
        if code >> 4 in (0xA, 0xB):
            content = self._take(self._size(code))
            if code in _BINARY:
                return content
            return content.decode() if code in _TEXT else Symbol(content.decode("ascii"))
        if code >> 4 in (0xC, 0xD):
            return self._compound(code)
        if code >> 4 in (0xE, 0xF):
            return self._array(code)
        raise AmqpError(f"unknown type 0x{code:02x}")

    def _compound(self, code: int) -> Any:
        end = self._size(code)
        end += self.at
        count = self._size(code)
        values = [self.value() for _ in range(count)]
        if self.at != end:
            raise AmqpError("a list or map of another size than it says")
        if code in (0xC0, 0xD0):
            return values
        return dict(zip(values[::2], values[1::2], strict=True)) if count % 2 == 0 else _odd()

    def _array(self, code: int) -> list[Any]:
        end = self._size(code)
        end += self.at
        count = self._size(code)
        kind = self._take(1)[0]
        values = [self._value(kind) for _ in range(count)]
        if self.at != end:
            raise AmqpError("an array of another size than it says")
        return values


def _odd() -> Any:
    raise AmqpError("a map with a key that has no value")


def decode(data: bytes) -> Any:
    """The first value in ``data``."""
    return Reader(data).value()


# -- writing -----------------------------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    """A value as bytes; a plain ``int`` becomes a long, a plain ``str`` a string."""
    match value:
        case None:
            return b"\x40"
        case bool():
            return b"\x41" if value else b"\x42"
        case Described(descriptor, inner):
            return b"\x00" + encode(descriptor) + encode(inner)
        case Raw(data):
            return data
        case Array(symbols):
            return _encode_array(symbols)
        case int():
            return _encode_int(value)
        case float():
            return b"\x82" + struct.pack(">d", value)
        case Symbol():
            return _sized(0xA3, value.encode("ascii"))
        case str():
            return _sized(0xA1, value.encode())
        case bytes():
            return _sized(0xA0, value)
        case uuid.UUID():
            return b"\x98" + value.bytes
        case Mapping():
            return _compound(0xC1, [part for pair in value.items() for part in pair])
        case Sequence():
            return _compound(0xC0, value)
        case _:
            raise AmqpError(f"{type(value).__name__} has no place in AMQP")


def _encode_int(value: int) -> bytes:
    match value:
        case UByte():
            return b"\x50" + struct.pack("B", value)
        case UShort():
            return b"\x60" + struct.pack(">H", value)
        case UInt():
            return b"\x70" + struct.pack(">I", value)
        case ULong():
            return b"\x53" + struct.pack("B", value) if value < 256 else b"\x80" + struct.pack(">Q", value)
        case Int():
            return b"\x71" + struct.pack(">i", value)
        case Timestamp():
            return b"\x83" + struct.pack(">q", value)
        case _:
            return b"\x81" + struct.pack(">q", value)


def _sized(code: int, content: bytes) -> bytes:
    if len(content) < 256:
        return bytes([code, len(content)]) + content
    return bytes([code + 0x10]) + struct.pack(">I", len(content)) + content


def _compound(code: int, values: Sequence[Any]) -> bytes:
    content = b"".join(map(encode, values))
    return bytes([code + 0x10]) + struct.pack(">II", len(content) + 4, len(values)) + content


def _encode_array(symbols: Sequence[str]) -> bytes:
    content = b"".join(bytes([len(symbol)]) + symbol.encode("ascii") for symbol in symbols)
    return b"\xf0" + struct.pack(">II", len(content) + 5, len(symbols)) + b"\xa3" + content


# -- frames ------------------------------------------------------------------------------------------------------------

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
ERROR, RECEIVED, ACCEPTED, REJECTED, RELEASED, MODIFIED = 0x1D, 0x23, 0x24, 0x25, 0x26, 0x27
SOURCE, TARGET = 0x28, 0x29
SASL_MECHANISMS, SASL_INIT, SASL_OUTCOME = 0x40, 0x41, 0x44


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame: what it is, its fields as they stand in the standard, and the payload of a transfer."""

    performative: int
    fields: Sequence[Any]
    channel: int = 0
    payload: bytes = b""

    def get(self, index: int, default: Any = None) -> Any:
        """A field by its place; fields at the end may be left out."""
        found = self.fields[index] if index < len(self.fields) else None
        return default if found is None else found

    def encode(self, kind: int = FRAME_AMQP) -> bytes:
        """The frame as bytes."""
        body = encode(Described(ULong(self.performative), list(self.fields))) + self.payload
        return struct.pack(">IBBH", FRAME_HEAD + len(body), 2, kind, self.channel) + body


EMPTY_FRAME: Final = struct.pack(">IBBH", FRAME_HEAD, 2, FRAME_AMQP, 0)


def read_head(head: bytes) -> tuple[int, int, int]:
    """How many bytes follow a frame's first eight, how many of them are no part of it, and its channel."""
    size, offset, _, channel = struct.unpack(">IBBH", head)
    if offset < 2 or size < offset * 4:
        raise AmqpError("not a frame")
    return size - FRAME_HEAD, offset * 4 - FRAME_HEAD, channel


def read_body(body: bytes, channel: int) -> Frame:
    """The frame in the bytes after its head."""
    reader = Reader(body)
    described = reader.value()
    if not isinstance(described, Described) or not isinstance(described.value, list):
        raise AmqpError("not a performative")
    return Frame(int(described.descriptor), described.value, channel, body[reader.at :])


def error(condition: str, description: str) -> Described:
    """An error. The info map is never left out: the Service Bus SDK indexes it and fails without."""
    return Described(ULong(ERROR), [Symbol(condition), description, {Symbol("tracking-id"): "local"}])


# -- messages ----------------------------------------------------------------------------------------------------------

_SECTION_HEADER, _SECTION_DELIVERY, _SECTION_ANNOTATIONS = 0x70, 0x71, 0x72
_SECTION_PROPERTIES, _SECTION_APPLICATION, _SECTION_DATA, _SECTION_VALUE = 0x73, 0x74, 0x75, 0x77
_NOT_BARE: Final = frozenset({_SECTION_HEADER, _SECTION_DELIVERY, _SECTION_ANNOTATIONS})


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its sender made it. ``bare`` is its immutable part, byte for byte."""

    bare: bytes = field(repr=False)
    properties: Sequence[Any] = ()
    application: Mapping[str, Any] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    value: Any = field(default=None, repr=False)

    @property
    def id(self) -> Any:
        """The property ``message-id``."""
        return self.properties[0] if self.properties else None

    @property
    def content_type(self) -> str | None:
        """The property ``content-type``."""
        return str(self.properties[6]) if len(self.properties) > 6 and self.properties[6] else None

    def delivered(self, count: int, annotations: Mapping[Symbol, Any]) -> bytes:
        """The message with the sections that a broker adds; ``count`` is of the deliveries that failed before."""
        head = Described(ULong(_SECTION_HEADER), [None, None, None, None, UInt(count)])
        return encode(head) + encode(Described(ULong(_SECTION_ANNOTATIONS), dict(annotations))) + self.bare

    def with_application(self, more: Mapping[str, Any]) -> Message:
        """The message with more application properties, which is what dead-lettering does to it."""
        sections = [
            data for code, _, data in _sections(self.bare) if code not in (_SECTION_PROPERTIES, _SECTION_APPLICATION)
        ]
        properties = encode(Described(ULong(_SECTION_PROPERTIES), list(self.properties)))
        application = encode(Described(ULong(_SECTION_APPLICATION), {**self.application, **more}))
        return read_message(properties + application + b"".join(sections))


def read_message(data: bytes) -> Message:
    """A message from a transfer's payload."""
    bare = body = b""
    properties: Sequence[Any] = ()
    application: Mapping[str, Any] = {}
    value: Any = None
    for code, content, raw in _sections(data):
        if code in _NOT_BARE:
            continue
        bare += raw
        if code == _SECTION_PROPERTIES:
            properties = content
        elif code == _SECTION_APPLICATION:
            application = content
        elif code == _SECTION_DATA:
            body += content
        elif code == _SECTION_VALUE:
            value = content
    return Message(bare, properties, application, body, value)


def message(value: Any, correlation_id: Any, application: Mapping[str, Any]) -> bytes:
    """A message of the broker's own, such as the answer to a token."""
    properties = [None, None, None, None, None, correlation_id]
    return (
        encode(Described(ULong(_SECTION_PROPERTIES), properties))
        + encode(Described(ULong(_SECTION_APPLICATION), dict(application)))
        + encode(Described(ULong(_SECTION_VALUE), value))
    )


def _sections(data: bytes) -> Iterator[tuple[int, Any, bytes]]:
    reader = Reader(data)
    while reader.left():
        start = reader.at
        section = reader.value()
        if not isinstance(section, Described):
            raise AmqpError("not a section of a message")
        yield int(section.descriptor), section.value, data[start : reader.at]

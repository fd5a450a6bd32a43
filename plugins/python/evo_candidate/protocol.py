"""Frames: four bytes with the length, lowest first, and then a JSON object in UTF-8."""

import json
import struct

# The version of the protocol that this package speaks: major, minor.
VERSION = (1, 1)
# The largest frame in bytes.
MOST_BYTES = 64 << 20


class Broken(Exception):
    """The other side does not follow the protocol."""


def read(channel):
    """The next message, or None where the other side closed the socket between two."""
    head = _exactly(channel, 4)
    if head is None:
        return None
    (length,) = struct.unpack("<I", head)
    if length > MOST_BYTES:
        raise Broken(f"a message of {length} bytes was announced; the most is {MOST_BYTES}")
    body = _exactly(channel, length)
    if body is None:
        raise Broken("the socket was closed in the middle of a message")
    message = json.loads(body)
    if not isinstance(message, dict):
        raise Broken("a message is no JSON object")
    return message


def write(channel, message):
    """Sends a message; ValueError where it has a number that is not finite or is too large."""
    body = json.dumps(message, allow_nan=False).encode()
    if len(body) > MOST_BYTES:
        raise ValueError(f"an answer of {len(body)} bytes is too large; the most is {MOST_BYTES}")
    channel.sendall(struct.pack("<I", len(body)) + body)


def _exactly(channel, count):
    """Exactly so many bytes; None where the socket was closed before the first of them."""
    pieces = bytearray()
    while len(pieces) < count:
        piece = channel.recv(count - len(pieces))
        if not piece:
            if pieces:
                raise Broken("the socket was closed in the middle of a message")
            return None
        pieces += piece
    return bytes(pieces)

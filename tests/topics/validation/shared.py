"""What several files of these tests share."""

import struct
import zlib

from lab.run import node

from . import corpus

TOPIC = "validation"

BASE = corpus.BASE


def served(snippet: str):
    return node.serve(f"{TOPIC}/{snippet}")


def png() -> bytes:
    """A PNG of one pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(b"\0\xff\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")


def codes(client, bodies) -> list[int]:
    return [client.post("/login", json=body).status_code for body in bodies]

"""The server's files of messages, changed as only somebody could who knows how it writes them.

A record in a `.blk` file ends in a checksum, by which the server notices bytes that changed by
themselves. Here it is made again after the change, so the server hands the record over as it is.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

M = (1 << 64) - 1
INIT0 = (0xDBE6D5D5FE4CCE2F, 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3)
INIT1 = (0x3BD39E10CB0EF593, 0xC0ACF169B5F18A8C, 0xBE5466CF34E90C6C, 0x452821E638D01377)
HEAD = struct.Struct("<IQqH")
"""Of a record: its length, its sequence, when it was stored, how long its subject is."""
HAS_HEADERS = 1 << 31
CHECKSUM_BYTES = 8


class HighwayHash:
    """HighwayHash-64 (J. Alakuijala, B. Cox, J. Wassenberg, 2016), as nats-server uses it."""

    def __init__(self, key: bytes) -> None:
        words = struct.unpack("<4Q", key)
        self.mul0, self.mul1 = list(INIT0), list(INIT1)
        self.v0 = [a ^ b for a, b in zip(INIT0, words, strict=True)]
        self.v1 = [a ^ ((b >> 32) | (b << 32) & M) for a, b in zip(INIT1, words, strict=True)]

    def update(self, lanes: tuple[int, ...]) -> None:
        v0, v1, mul0, mul1 = self.v0, self.v1, self.mul0, self.mul1
        for i in range(4):
            v1[i] = (v1[i] + mul0[i] + lanes[i]) & M
            mul0[i] ^= (v1[i] & 0xFFFFFFFF) * (v0[i] >> 32)
            v0[i] = (v0[i] + mul1[i]) & M
            mul1[i] ^= (v0[i] & 0xFFFFFFFF) * (v1[i] >> 32)
        for to, of in ((v0, v1), (v1, v0)):
            for i in (0, 2):
                one, two = zipper(of[i + 1], of[i])
                to[i], to[i + 1] = (to[i] + one) & M, (to[i + 1] + two) & M

    def remainder(self, rest: bytes) -> None:
        size = len(rest)
        for i in range(4):
            self.v0[i] = (self.v0[i] + (size << 32) + size) & M
            low, high = self.v1[i] & 0xFFFFFFFF, self.v1[i] >> 32
            low, high = (((x << size) | (x >> (32 - size))) & 0xFFFFFFFF for x in (low, high))
            self.v1[i] = low | (high << 32)
        packet = bytearray(32)
        whole, left = size & ~3, size & 3
        packet[:whole] = rest[:whole]
        if size & 16:
            packet[28:32] = rest[size - 4 :]
        elif left:
            packet[16:19] = bytes((rest[whole], rest[whole + (left >> 1)], rest[size - 1]))
        self.update(struct.unpack("<4Q", packet))

    def digest(self, data: bytes) -> bytes:
        whole = len(data) & ~31
        for at in range(0, whole, 32):
            self.update(struct.unpack_from("<4Q", data, at))
        if len(data) != whole:
            self.remainder(data[whole:])
        for _ in range(4):
            v = self.v0
            self.update(tuple(((v[i] >> 32) | (v[i] << 32)) & M for i in (2, 3, 0, 1)))
        total = self.v0[0] + self.v1[0] + self.mul0[0] + self.mul1[0]
        return struct.pack("<Q", total & M)


def zipper(one: int, two: int) -> tuple[int, int]:
    """What is added to two lanes: the bytes of two others, shuffled."""
    a, b = one.to_bytes(8, "little"), two.to_bytes(8, "little")
    low = bytes((b[3], a[4], b[2], b[5], a[6], b[1], a[7], b[0]))
    high = bytes((a[3], b[4], a[2], a[5], a[1], b[6], a[0], b[7]))
    return int.from_bytes(low, "little"), int.from_bytes(high, "little")


def alter(block: Path, stream: str, before: bytes, after: bytes) -> int:
    """Put other bytes of the same length into the last record that has them; gives its sequence."""
    assert len(before) == len(after)
    key = hashlib.sha256(f"{stream}-{block.stem}".encode()).digest()
    data, at, places = bytearray(block.read_bytes()), 0, []
    while at < len(data):
        length, seq, _, subject = HEAD.unpack_from(data, at)
        begin, end = at + HEAD.size, at + (length & ~HAS_HEADERS) - CHECKSUM_BYTES
        # The length of the headers stands before them, and is not hashed.
        rest = begin + subject + (4 if length & HAS_HEADERS else 0)

        def summed(first: int = at, name: int = begin + subject, rest: int = rest, end: int = end) -> bytes:
            hashed = data[first + 4 : first + 20] + data[first + HEAD.size : name] + data[rest:end]
            return HighwayHash(key).digest(bytes(hashed))

        assert summed() == data[end : end + CHECKSUM_BYTES], "the server hashes otherwise"
        if (found := data.find(before, rest, end)) >= 0:
            places.append((seq, found, end, summed))
        at = end + CHECKSUM_BYTES
    seq, found, end, summed = places[-1]
    data[found : found + len(before)] = after
    data[end : end + CHECKSUM_BYTES] = summed()
    block.write_bytes(data)
    return seq

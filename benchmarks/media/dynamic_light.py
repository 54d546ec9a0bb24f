"""Clips with metadata of light per picture, Dolby Vision or HDR10+, put into the stream of x265."""

from pathlib import Path

import av

# Units of H.265: supplemental information before a picture, and what Dolby Vision stores behind it.
SUPPLEMENT, DOLBY_VISION = 39, 62


class _Bits:
    """Bits from numbers, the highest first."""

    def __init__(self) -> None:
        self._text = ""

    def number(self, value: int, bits: int) -> "_Bits":
        self._text += f"{value:0{bits}b}"
        return self

    def golomb(self, value: int) -> "_Bits":
        digits = f"{value + 1:b}"
        self._text += "0" * (len(digits) - 1) + digits
        return self

    def bytes(self) -> bytes:
        text = self._text + "0" * (-len(self._text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big")


def dolby_vision(profile: int, *, full_range: bool | None = None) -> bytes:
    """Returns a reference processing unit that changes nothing (ETSI GS CCM 001).

    Args:
      profile: 5, whose pictures no other decoder can show, or 8, whose pictures are HDR10.
      full_range: flag of the full range, by default that of the profile, which 5 has.
    """
    flag = profile == 5 if full_range is None else full_range
    bits = _Bits().number(2, 6).number(18, 11)  # type and format
    bits.number(0 if profile == 5 else 1, 4).number(0, 4).number(1, 1)
    bits.number(0, 1).number(0, 2).golomb(23).number(1, 2).number(int(flag), 1)
    bits.golomb(2).golomb(2).golomb(4)  # 10 bits of the picture and the other layer, 12 of both
    bits.number(0, 1).number(0, 3).number(0, 1).number(1, 1)
    bits.number(0, 1).number(0, 1)  # neither metadata for displays nor the unit before
    bits.golomb(0).golomb(0).golomb(0)
    for _ in range(3):
        bits.golomb(0).number(0, 10).number(1023, 10)  # from the first to the last code
    bits.golomb(0).golomb(0)
    for _ in range(3):
        bits.golomb(0).golomb(0).number(0, 1)  # a line: 0 + 1 x
        bits.golomb(0).number(0, 23).golomb(1).number(0, 23)
    body = bits.bytes()
    return b"\x19" + body + _crc(body).to_bytes(4, "big") + b"\x80"


def hdr10_plus() -> bytes:
    """Returns supplemental information of one window (SMPTE ST 2094-40) as a user message."""
    bits = _Bits().number(1, 2).number(400, 27).number(0, 1)
    for value in (80000, 70000, 60000, 20000):  # brightest red, green, blue, and the average
        bits.number(value, 17)
    bits.number(0, 4).number(0, 10).number(0, 1).number(0, 1).number(0, 1)
    message = bytes.fromhex("b5003c000104") + b"\x01" + bits.bytes()
    return bytes([4, len(message)]) + message + b"\x80"


def with_units(source: Path, target: Path, *, kind: int, payload: bytes) -> Path:
    """Copies an H.265 stream, with one more unit in each picture.

    Args:
      source: Matroska file with pictures alone, none of which refers ahead.
      target: Matroska file to write.
      kind: `SUPPLEMENT`, which comes before a picture, or `DOLBY_VISION`, which comes behind.
      payload: what the unit holds.
    """
    unit = _unit(kind, payload)
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                data = bytes(packet)
                changed = av.Packet(unit + data if kind == SUPPLEMENT else data + unit)
                changed.time_base, changed.stream = packet.time_base, stream
                changed.pts, changed.is_keyframe = packet.pts, packet.is_keyframe
                changed.dts = packet.pts
                new.mux(changed)
    return target


def _unit(kind: int, payload: bytes) -> bytes:
    """Returns a unit after its length, without bytes that look like a start code."""
    escaped = bytearray()
    for byte in payload:
        if escaped[-2:] == b"\0\0" and byte <= 3:
            escaped.append(3)
        escaped.append(byte)
    data = bytes([kind << 1, 1]) + bytes(escaped)
    return len(data).to_bytes(4, "big") + data


def _crc(data: bytes) -> int:
    """Computes CRC-32/MPEG-2."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ 0x04C11DB7 if value >> 31 else value << 1) & 0xFFFFFFFF
    return value

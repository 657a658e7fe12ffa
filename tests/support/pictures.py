"""Pictures to read, made with Pillow or byte by byte."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
# Flat corners, so that what compresses with losses keeps them apart: red, green / blue, white.
CORNERS = np.zeros((32, 32, 3), np.uint8)
CORNERS[:16, :16, 0] = CORNERS[:16, 16:, 1] = CORNERS[16:, :16, 2] = 255
CORNERS[16:, 16:] = 255


def saved(picture: Image.Image, file: Path, **options: object) -> Path:
    picture.save(file, **options)  # type: ignore[arg-type]
    return file


def grey(values: np.ndarray) -> np.ndarray:
    """What a grey picture comes out as: three equal channels."""
    return np.repeat(values.astype(np.uint8)[..., None], 3, axis=2)


def close(image: np.ndarray, expected: np.ndarray, tolerance: int) -> bool:
    return bool((np.abs(image.astype(int) - expected.astype(int)) <= tolerance).all())


def png(width: int, height: int, bits: int, colour_type: int, lines: bytes, *more: bytes) -> bytes:
    """A PNG file: its header, what `more` there is, and `lines` (a filter byte before each)."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )


def png16(values: np.ndarray) -> bytes:
    """A 16-bit PNG of grey, `[H, W]`, or colour, `[H, W, 3]`; Pillow writes no coloured one."""
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png(values.shape[1], values.shape[0], 16, 0 if values.ndim == 2 else 2, lines)


def tiff12(values: np.ndarray, file: Path) -> Path:
    """Write a grey TIFF of 12 bits a value, `[H, W]` with an even W; Pillow only reads them."""
    height, width = values.shape
    even, odd = values[:, ::2].ravel(), values[:, 1::2].ravel()
    packed = np.stack([even >> 4, (even & 15) << 4 | odd >> 8, odd & 255], axis=1).astype(np.uint8)
    tags = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 277: 1, 278: height}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 279: packed.size}
    entries = (struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    header = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(entries) + bytes(4)
    file.write_bytes(header + packed.tobytes())
    return file


def draw(file: Path, shade: int = 0, size: tuple[int, int] = (6, 4)) -> None:
    """Write a picture of one colour, and the folders around it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 2 * shade, 100)).save(file)

"""Every kind of image file becomes upright uint8, or an error that says why; held against Pillow's own odd files."""

from __future__ import annotations

import csv
import io
import struct
import tracemalloc
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from convatlas.data import decode as room
from convatlas.data.decode import FORMATS, MAX_PIXELS, UnreadableImage, decode, read_header, read_image
from convatlas.errors import BadImageError


@pytest.fixture(scope="module")
def odd(shared):
    return shared("data/odd-images")


def described(odd) -> list[dict[str, str]]:
    with (odd / "what.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_what_pillow_reads_is_read_and_what_it_refuses_is_refused(odd):
    for row in described(odd):
        content = (odd / row["file"]).read_bytes()
        readable = row["pillow_load"] == "ok" and row["pil_format"] in FORMATS
        if readable:
            pixels = decode(content)
            assert pixels.dtype == np.uint8, row["file"]
            assert pixels.ndim == 3, row["file"]
            assert pixels.shape[2] in (1, 3), row["file"]
        else:
            with pytest.raises(UnreadableImage):
                decode(content)


def test_the_header_tells_the_size_and_the_greyness_that_decoding_gives(odd):
    for row in described(odd):
        content = (odd / row["file"]).read_bytes()
        try:
            pixels = decode(content)
        except UnreadableImage:
            continue
        header = read_header(io.BytesIO(content))
        assert (header.height, header.width, header.grey) == (*pixels.shape[:2], pixels.shape[2] == 1), row["file"]


def test_every_exif_orientation_gives_the_same_upright_picture(odd):
    upright = read_image(odd / "hopper.jpg").astype(int)
    for orientation in range(2, 9):
        turned = read_image(odd / f"hopper_orientation_{orientation}.jpg").astype(int)
        # JPEG blocks fall differently on a turned picture; a wrong turn differs by about 60
        assert np.abs(turned - upright).mean() < 6, orientation


def test_an_orientation_that_swaps_the_sides_does(odd):
    assert read_image(odd / "orientation_rectangle.jpg").shape == (2, 1, 3)  # stored as 2 wide, 1 high; orientation 8


def test_sixteen_bits_are_scaled_and_not_cut_off(odd):
    assert read_image(odd / "uint16_1_4660.tif").max() == round(4660 / 257)


def png(mode: str, pixels: object) -> bytes:
    file = io.BytesIO()
    image = Image.new(mode, (1, 1), pixels)  # type: ignore[arg-type]
    image.save(file, "PNG" if mode != "CMYK" else "TIFF")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (png("RGBA", (255, 0, 0, 0)), (255, 255, 255)),  # transparent: the white below, whatever hides in the colour
        (png("RGBA", (255, 0, 0, 255)), (255, 0, 0)),
        (png("LA", (0, 0)), (255,)),
        (png("CMYK", (0, 255, 255, 0)), (255, 0, 0)),
        (png("1", 1), (255,)),
        (png("I;16", 65535), (255,)),
        (png("I;16", 257), (1,)),
    ],
)
def test_a_pixel_of_each_kind(content, expected):
    assert tuple(decode(content)[0, 0]) == expected


def test_a_large_jpeg_may_be_decoded_smaller_but_not_below_what_is_asked(tmp_path, write_image):
    path = write_image(tmp_path / "big.jpg", (800, 1200))
    assert read_image(path, at_least=150).shape == (200, 300, 3)
    assert read_image(path, at_least=500).shape == (800, 1200, 3)


def test_a_damaged_file_is_named(tmp_path, write_image):
    path = write_image(tmp_path / "cut.jpg", (64, 64))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(BadImageError, match=r"cut\.jpg cannot be read: image file is truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"<!DOCTYPE html><html>404</html>", "it is a web page"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "that of PostScript files"),
        (b"%PDF-1.7\n", "that of PDF documents"),
        (b"8BPS\x00\x01" + bytes(20), "that of Photoshop files"),
        (b"SIMPLE  =                    T" + bytes(60), "that of FITS images"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(20), "HEIC"),
    ],
)
def test_what_is_no_image_is_told_what_it_is(content, words):
    with pytest.raises(UnreadableImage, match=words):
        decode(content)


def bomb_png(side: int) -> bytes:
    """A PNG that declares side x side pixels and has nearly nothing behind it."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 << 20), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_before_it_takes_memory():
    content = bomb_png(30_000)
    tracemalloc.start()
    with pytest.raises(UnreadableImage, match=f"{MAX_PIXELS:,}"):
        decode(content)
    assert tracemalloc.get_traced_memory()[1] < 50e6
    tracemalloc.stop()


# --- the extra decoder ----------------------------------------------------------------------------------------------


def by_pillow(content: bytes, at_least: int | None, monkeypatch) -> np.ndarray:
    with monkeypatch.context() as patched:
        patched.setattr(room, "_simplejpeg", lambda: None)
        return room.decode(content, at_least)


@pytest.mark.parametrize("at_least", [None, 20, 70])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("settings", [{}, {"subsampling": 0}, {"progressive": True}, {"quality": 30}])
def test_simplejpeg_gives_pillows_pixels(at_least, mode, settings, monkeypatch):
    pytest.importorskip("simplejpeg")
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((301, 187), Image.Resampling.BICUBIC).convert(mode)
    file = io.BytesIO()
    picture.save(file, "JPEG", **settings)
    decoded = []
    turbo = room._simplejpeg()
    monkeypatch.setattr(room, "_simplejpeg", lambda: SimpleNamespace(decode_jpeg=lambda *args, **more: (
        decoded.append(1), turbo.decode_jpeg(*args, **more))[1]))  # fmt: skip
    fast = room.decode(file.getvalue(), at_least)
    assert decoded  # it did the work
    assert np.array_equal(fast, by_pillow(file.getvalue(), at_least, monkeypatch))


def test_simplejpeg_gives_pillows_pixels_of_every_real_photo(shared, monkeypatch):
    pytest.importorskip("simplejpeg")
    photos = sorted(shared("data/hymenoptera").rglob("*.jp*g"))[::8]
    for photo in photos:
        content = photo.read_bytes()
        assert np.array_equal(room.decode(content, 256), by_pillow(content, 256, monkeypatch)), photo


def test_a_jpeg_cut_short_is_pillows_complaint_with_simplejpeg_too(tmp_path):
    file = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("RGB").save(file, "JPEG")
    with pytest.raises(room.UnreadableImage, match="truncated"):
        room.decode(file.getvalue()[: len(file.getvalue()) // 2])

"""One image file into pixels: uint8, (H, W, C) with C = 1 or 3, upright.

Pillow opens every file. Where simplejpeg is installed (the extra ``fast``) it decodes the pixels of sound grey and
colour JPEGs, the same pixels in three quarters of the time; all else, and every complaint, is Pillow's.

What is decided here, once, for training and for predict alike:

    EXIF and XMP orientation    applied
    palette, CMYK, YCbCr, Lab   converted to RGB
    alpha                       laid over white
    16 bits                     divided by 257, so 65535 becomes 255; 32-bit integers likewise, clipped to 16 bits
    float                       0..1 becomes 0..255, values within 0..255 are rounded, others are stretched, min to max
    animation, several pages    the first frame
    truncated or damaged        an error, never half a picture

Only the formats of ``FORMATS`` are opened, whatever the file is called: those with a scripting language or a record of
holes inside (EPS, PSD, PDF, FITS, JPEG 2000, ICO) are not.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from convatlas.errors import BadImageError, ConvAtlasError
from convatlas.message import Message, system_reason

if TYPE_CHECKING:
    from PIL import Image

# Pillow's names; a phone's MPO opens as the JPEG it begins with
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "QOI", "AVIF")
EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .tif .tiff .webp .ppm .pgm .pbm .pnm .tga .qoi .avif".split()  # noqa: SIM905
)
# one image of 9459 x 9459; Pillow warns from here on, and refuses only at twice as many
MAX_PIXELS = 89_478_485

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Header:
    """What a file says of its image before the pixels are decoded: size as seen upright, and whether it is grey."""

    height: int
    width: int
    grey: bool


class UnreadableImage(ConvAtlasError):
    """Why these bytes give no image; the caller knows the file's name and index and says them."""


def is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode one file; uint8 (H, W, C), C is 1 for a grey image and 3 otherwise.

    Args:
        at_least: a JPEG may be decoded smaller, by 2, 4 or 8, as long as its shorter side keeps this many pixels.
    Raises:
        BadImageError: the file is missing, damaged, too large, or of a format that is not opened.
    """
    try:
        return decode(Path(path).read_bytes(), at_least)
    except OSError as error:
        raise BadImageError(str(path), system_reason(error)) from error
    except UnreadableImage as error:
        raise BadImageError(str(path), error.message) from error


def read_header(file: BinaryIO) -> Header:
    """Size and greyness of an image, from the first bytes of its file.

    Raises:
        UnreadableImage: these bytes are no image that is opened here.
    """
    with _opened(file) as image:
        width, height = image.size
        # Pillow turns TIFF sizes itself; a PNG that keeps its EXIF behind the pixels is turned on decoding only
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        if known and _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return Header(height, width, _is_grey(image))


def decode(content: bytes, at_least: int | None = None) -> np.ndarray:
    """The pixels of an image file's bytes; see the head of this file for what happens to each kind.

    Raises:
        UnreadableImage: damaged, truncated, too large, or of a format that is not opened.
    """
    with _opened(io.BytesIO(content)) as image:
        whole = image.size
        if at_least is not None and image.format in ("JPEG", "MPO"):
            image.draft(None, (at_least, at_least))
        pixels = _by_simplejpeg(content, image, whole)
        if pixels is None:
            pixels = pixels_of_pillow(image)
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def pixels_of_pillow(image: Image.Image) -> np.ndarray:
    """The pixels of an image that Pillow opened; see the head of this file for what happens to each kind.

    Raises:
        UnreadableImage: floating-point pixels that are not finite.
    """
    image.load()
    pixels = _to_uint8(_upright(image))
    return pixels if pixels.ndim == 3 else pixels[:, :, None]


def _by_simplejpeg(content: bytes, image: Image.Image, whole: tuple[int, int]) -> np.ndarray | None:
    """What Pillow would decode, by simplejpeg; None where it is not installed or this is not a JPEG it decodes alike.

    Args:
        image: as opened, its size that of the draft; it says what to expect.
        whole: width and height before the draft.
    """
    turbo, colours = _simplejpeg(), {"RGB": "RGB", "L": "GRAY"}
    if turbo is None or image.format not in ("JPEG", "MPO") or image.mode not in colours or _orientation(image) != 1:
        return None
    width, height = image.size
    scale = {"min_width": width, "min_height": height, "min_factor": round(whole[0] / width)}
    try:
        pixels: np.ndarray = turbo.decode_jpeg(content, colorspace=colours[image.mode], **scale)
    except ValueError:  # damaged, or of an unusual kind: Pillow decodes it, or says what is wrong
        return None
    return pixels if pixels.shape[:2] == (height, width) else None


@cache
def _simplejpeg() -> Any:
    try:
        return importlib.import_module("simplejpeg")
    except ImportError:
        return None


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Image.Image]:
    from PIL import Image, UnidentifiedImageError

    _register_formats()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > MAX_PIXELS:
                    raise UnreadableImage(
                        "{width} x {height} pixels are more than the limit of {most:,}",
                        width=width,
                        height=height,
                        most=MAX_PIXELS,
                    )
                if width < 1 or height < 1:
                    raise UnreadableImage("its size is {width} x {height}", width=width, height=height)
                yield image
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(_what_it_is_instead(file)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(
            "more pixels than the limit of {most:,} (a decompression bomb?)", most=MAX_PIXELS
        ) from error
    except MemoryError as error:
        raise UnreadableImage("decoding it needs more memory than there is") from error
    except Exception as error:
        # on damaged bytes a decoder raises whatever it stumbled over: OSError, ValueError, SyntaxError, struct.error,
        # IndexError, ... All of them mean the same to the reader of the message.
        raise UnreadableImage(str(error) or type(error).__name__) from error


@cache
def _register_formats() -> None:
    """Import the plugins of ``FORMATS`` and no others, which ``Image.init`` would do in a multiple of the time."""
    for name in ("Jpeg", "Png", "Gif", "Bmp", "Tiff", "WebP", "Ppm", "Tga", "Qoi", "Avif"):
        importlib.import_module(f"PIL.{name}ImagePlugin")


def _what_it_is_instead(file: BinaryIO) -> Message:
    file.seek(0)
    content = file.read(512)
    if not content:
        return Message("the file is empty")
    head, formats = content.lstrip().lower(), ", ".join(FORMATS)
    known = {
        b"%!ps": Message("it is PostScript"),
        b"%pdf": Message("it is a PDF"),
        b"8bps": Message("it is a Photoshop file"),
        b"simple  =": Message("it is a FITS file"),
        b"<!doctype html": Message("it is a web page"),
        b"<html": Message("it is a web page"),
        b"<svg": Message("it is an SVG drawing"),
        b"pk\x03\x04": Message("it is a zip archive"),
    }
    for start, words in known.items():
        if head.startswith(start):
            return Message("{what}, not an image of a format that is opened ({formats})", what=words, formats=formats)
    if content[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return Message("it is a HEIC photo; convert it to JPEG")
    return Message(
        "it is not an image, or damaged from the start, or not of the formats opened ({formats})", formats=formats
    )


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P" or image.mode == "PA":
        colours = image.palette.colors if image.palette is not None else {}
        return bool(colours) and all(len(set(colour[:3])) == 1 for colour in colours)
    return image.mode in _GREY_MODES


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # a damaged EXIF block says nothing about the pixels, which are good
        return 1


def _upright(image: Image.Image) -> Image.Image:
    from PIL import Image

    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _to_uint8(image: Image.Image) -> np.ndarray:
    """(H, W) or (H, W, 3), uint8, from whatever mode the file has."""
    if image.mode == "F":
        return _float_to_uint8(np.asarray(image, dtype=np.float32))
    if image.mode == "I" or image.mode.startswith("I;16"):
        wide = np.asarray(image).astype(np.int64)
        return ((np.clip(wide, 0, 65535) + 128) // 257).astype(np.uint8)
    if image.mode == "LAB":
        image = _lab_to_rgb(image)
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _over_white(image)
    return np.asarray(image.convert("L" if _is_grey(image) else "RGB"))


def _over_white(image: Image.Image) -> np.ndarray:
    from PIL import Image

    grey = _is_grey(image)
    colour = image.convert("RGBA")
    white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
    white.alpha_composite(colour)
    return np.asarray(white.convert("L" if grey else "RGB"))


def _float_to_uint8(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise UnreadableImage("it holds floating-point pixels that are not finite")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        values = values * 255
    elif low < 0 or high > 255:
        values = (values - low) * (255 / (high - low))
    return np.rint(values).astype(np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
    assert turned is not None  # it is None only when converting in place
    return turned

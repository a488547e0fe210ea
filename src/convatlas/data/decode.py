"""One image file into pixels: uint8, (H, W, C) with C = 1 or 3, upright.

Pillow opens every file. If simplejpeg is installed (the extra ``fast``), it decodes undamaged grey and colour JPEGs:
the same pixels in three quarters of the time. Pillow decodes everything else and raises every error.

The conversions below are the same for training, evaluation and predict:

    EXIF and XMP orientation    applied
    palette, CMYK, YCbCr, Lab   converted to RGB
    alpha                       laid over white
    16 bits                     divided by 257, so 65535 becomes 255; 32-bit integers likewise, clipped to 16 bits
    float                       0..1 becomes 0..255; values within 0..255 are rounded; other ranges are stretched
    animation, several pages    the first frame
    truncated or damaged        an error, never part of an image

Only the formats of ``FORMATS`` are opened, whatever the file is called. Formats that contain a scripting language or
have a history of security holes (EPS, PSD, PDF, FITS, JPEG 2000, ICO) are not.
"""

from __future__ import annotations

import importlib
import io
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
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

# Pillow's names; an MPO file, as phones write, opens as the JPEG that it begins with
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM", "TGA", "QOI", "AVIF")
EXTENSIONS = frozenset(
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .gif .bmp .dib .tif .tiff .webp .ppm .pgm .pbm .pnm .tga .qoi .avif".split()  # noqa: SIM905
)
# formats of images that are not opened: what they are, and what reads or converts them
NOT_OPENED = {
    ".heic": (Message("HEIC photos"), "pillow-heif"),
    ".heif": (Message("HEIC photos"), "pillow-heif"),
    ".jxl": (Message("JPEG XL images"), "pillow-jxl-plugin"),
    ".jp2": (Message("JPEG 2000 images"), "Pillow"),
    ".j2k": (Message("JPEG 2000 images"), "Pillow"),
    ".psd": (Message("Photoshop files"), "psd-tools"),
    ".svg": (Message("SVG drawings"), "cairosvg"),
    ".ico": (Message("icons"), "Pillow"),
    ".exr": (Message("OpenEXR images"), "OpenEXR"),
    ".hdr": (Message("Radiance images"), "imageio"),
    ".dcm": (Message("DICOM images"), "pydicom"),
    ".nii": (Message("NIfTI volumes"), "nibabel"),
    ".nii.gz": (Message("NIfTI volumes"), "nibabel"),
    ".fits": (Message("FITS images"), "astropy"),
    ".svs": (Message("whole-slide images"), "openslide-python"),
    ".ndpi": (Message("whole-slide images"), "openslide-python"),
    ".npy": (Message("numpy arrays"), "numpy"),
    ".npz": (Message("numpy arrays"), "numpy"),
    ".mat": (Message("MATLAB files"), "scipy"),
    ".h5": (Message("HDF5 files"), "h5py"),
    ".hdf5": (Message("HDF5 files"), "h5py"),
    ".pdf": (Message("PDF documents"), "pypdfium2"),
    ".eps": (Message("PostScript files"), "Pillow"),
    **dict.fromkeys(
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2"), (Message("raw camera photos"), "rawpy")
    ),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv"), (Message("videos"), "av")),
}
# an image of 9459 x 9459; Pillow warns above this number of pixels and refuses only at twice the number
MAX_PIXELS = 89_478_485

_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True)
class Header:
    """The header of an image file: height and width after EXIF rotation, and whether the image is grey."""

    height: int
    width: int
    grey: bool
    peak: int = 0  # the largest value in a file of 16 bits, known after decoding; 0 for others


class UnreadableImage(ConvAtlasError):
    """The reason why bytes cannot be decoded; the caller adds the name and the index of the file."""


def is_image_name(name: str) -> bool:
    return Path(name).suffix.lower() in EXTENSIONS


def not_opened(names: Iterable[str]) -> list[tuple[Message, str, int]]:
    """For each kind of image among the files that is not opened: its name, a package that reads it, how many files."""
    counts: Counter[tuple[Message, str]] = Counter()
    for name in names:
        lower = name.lower()
        ending = ".nii.gz" if lower.endswith(".nii.gz") else Path(lower).suffix
        if ending in NOT_OPENED:
            counts[NOT_OPENED[ending]] += 1
    return [(what, package, count) for (what, package), count in counts.most_common()]


def read_image(path: str | Path, at_least: int | None = None) -> np.ndarray:
    """Decode one file; uint8 (H, W, C), C is 1 for a grey image and 3 otherwise.

    Args:
        at_least: a JPEG may be decoded smaller, by 2, 4 or 8, as long as its shorter side keeps this many pixels.
        path: of the image file.
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
        UnreadableImage: the bytes are not an image of a format that is opened.
    """
    with _opened(file) as image:
        width, height = image.size
        # Pillow turns TIFF sizes itself; a PNG that keeps its EXIF behind the pixels is turned on decoding only
        known = image.format != "TIFF" and (image.format != "PNG" or "exif" in image.info)
        if known and _orientation(image) in (5, 6, 7, 8):
            width, height = height, width
        return Header(height, width, _is_grey(image))


def decode(content: bytes, at_least: int | None = None) -> np.ndarray:
    """Decode the bytes of an image file; the docstring of this module lists the conversions.

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


def decoded_header(content: bytes) -> Header:
    """The header of an image that was decoded in full, so that damage anywhere in the file is noticed.

    Raises:
        UnreadableImage: as `decode`.
    """
    pixels = decode(content)
    peak = 0
    with _opened(io.BytesIO(content)) as image:
        if image.mode.startswith("I;16"):
            peak = int(np.asarray(image).max())
    return Header(pixels.shape[0], pixels.shape[1], pixels.shape[2] == 1, peak)


def _by_simplejpeg(content: bytes, image: Image.Image, whole: tuple[int, int]) -> np.ndarray | None:
    """Decode with simplejpeg; None if it is not installed, or if its pixels would differ from those of Pillow.

    Args:
        image: as Pillow opened it, after ``draft``; gives the expected size and mode.
        whole: width and height before ``draft``.
    """
    turbo, colours = _simplejpeg(), {"RGB": "RGB", "L": "GRAY"}
    if turbo is None or image.format not in ("JPEG", "MPO") or image.mode not in colours or _orientation(image) != 1:
        return None
    width, height = image.size
    scale = {"min_width": width, "min_height": height, "min_factor": round(whole[0] / width)}
    try:
        pixels: np.ndarray = turbo.decode_jpeg(content, colorspace=colours[image.mode], **scale)
    except ValueError:  # damaged, or of an unusual kind: Pillow decodes it or raises the error
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
        # on damaged bytes the decoders raise many kinds of exceptions: OSError, ValueError, SyntaxError, struct.error,
        # IndexError, ... All of them mean that the image is damaged.
        raise UnreadableImage(str(error) or type(error).__name__) from error


@cache
def _register_formats() -> None:
    """Import the plugins of ``FORMATS`` only: ``Image.init`` imports all of them and takes several times as long."""
    for name in ("Jpeg", "Png", "Gif", "Bmp", "Tiff", "WebP", "Ppm", "Tga", "Qoi", "Avif"):
        importlib.import_module(f"PIL.{name}ImagePlugin")


def _what_it_is_instead(file: BinaryIO) -> Message:
    file.seek(0)
    content = file.read(512)
    if not content:
        return Message("the file is empty")
    head, formats = content.lstrip().lower(), ", ".join(FORMATS)
    known = {
        b"%!ps": (Message("PostScript files"), "Pillow"),
        b"%pdf": NOT_OPENED[".pdf"],
        b"8bps": NOT_OPENED[".psd"],
        b"simple  =": NOT_OPENED[".fits"],
        b"<svg": NOT_OPENED[".svg"],
        b"\x93numpy": NOT_OPENED[".npy"],
        b"\x89hdf": NOT_OPENED[".h5"],
        b"matlab 5": NOT_OPENED[".mat"],
        b"v/1\x01": NOT_OPENED[".exr"],
        b"#?radiance": NOT_OPENED[".hdr"],
    }
    page = Message("it is a web page")
    others = {
        b"<!doctype html": page,
        b"<html": page,
        b"pk\x03\x04": Message("it is a zip archive"),
        b"version https://git-lfs": Message("it is a pointer of Git LFS, whose file was not fetched (git lfs pull)"),
    }
    for start, what in others.items():
        if head.startswith(start):
            return Message("{what}, not an image of a format that is opened ({formats})", what=what, formats=formats)
    brand = content[8:12].lower() if content[4:8] == b"ftyp" else b""
    kind = next((each for start, each in known.items() if head.startswith(start) or content.startswith(start)), None)
    if content[:12] == b"\x00\x00\x00\x0cJXL \r\n\x87\n" or content[:2] == b"\xff\x0a":
        kind = NOT_OPENED[".jxl"]
    elif content[4:8] == b"jP  " or content[:4] == b"\xff\x4f\xff\x51":
        kind = NOT_OPENED[".jp2"]
    elif content[128:132] == b"DICM":
        kind = NOT_OPENED[".dcm"]
    elif brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"):
        kind = NOT_OPENED[".heic"]
    elif brand in (b"avif", b"avis"):
        kind = (Message("AVIF images"), "pillow-avif-plugin")
    elif brand in (b"isom", b"mp42", b"mp41", b"qt  ", b"avc1", b"iso2"):
        kind = NOT_OPENED[".mp4"]
    if kind is not None:
        return Message(
            "its content is that of {what}, which are not opened; convert it to PNG or JPEG, for example with the "
            "package {package}",
            what=kind[0],
            package=kind[1],
        )
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
    except Exception:  # a damaged EXIF block; the pixels may still be good
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

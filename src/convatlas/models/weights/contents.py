"""What kind of file a file is, by its content; its name decides only where the content does not.

`kind_of` gives the reader's name ("safetensors", "torch", "npz", "keras", "hdf5", "caffe", "index"), or raises an error
that names what the file is instead of weights, with a way out.
"""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

from convatlas.errors import CheckpointError
from convatlas.message import Message
from convatlas.models.weights.caffemodel import varint

HEAD = 4096  # bytes that are read to recognise a file
LARGEST_INDEX = 64 << 20  # bytes of a JSON index
INDEX = ".index.json"
# the weights of a folder, in the order in which they are looked for
IN_FOLDER = ("model.safetensors.index.json", "pytorch_model.bin.index.json", "model.safetensors", "pytorch_model.bin")
BY_ENDING = {
    ".safetensors": "safetensors",
    ".pth": "torch",
    ".pt": "torch",
    ".th": "torch",
    ".ckpt": "torch",
    ".bin": "torch",
    ".tar": "torch",
    ".npz": "npz",
    ".h5": "hdf5",
    ".keras": "keras",
    ".caffemodel": "caffe",
}
SAVE_STATE_DICT = Message(
    "Where you trust it, load it in Python and save the weights alone: "
    "torch.save(model.state_dict(), 'weights.pth'); that file is read here."
)
UNPACK = Message("Unpack it and give the file of weights inside.")
FROM_ORIGIN = Message("Give the PyTorch, Keras or Caffe file that it was converted from.")
# first bytes -> what the file is, and the way out
FOREIGN: tuple[tuple[bytes, Message, Message], ...] = (
    (
        b"version https://git-lfs",
        Message("a Git LFS pointer: a few lines of text in place of the weights"),
        Message("Fetch the file itself:  git lfs pull  in the clone, or the download link of its page."),
    ),
    (b"\x1f\x8b", Message("an archive (gzip)"), UNPACK),
    (b"BZh", Message("an archive (bzip2)"), UNPACK),
    (b"\xfd7zXZ\0", Message("an archive (xz)"), UNPACK),
    (b"\x28\xb5\x2f\xfd", Message("an archive (zstd)"), UNPACK),
    (b"7z\xbc\xaf\x27\x1c", Message("an archive (7z)"), UNPACK),
    (b"Rar!", Message("an archive (rar)"), UNPACK),
    (b"GGUF", Message("a GGUF file of a language model"), Message("The networks here have no such weights.")),
    (
        b"\x93NUMPY",
        Message("a single numpy array"),
        Message("Save all arrays by name: numpy.savez('weights.npz', **arrays)."),
    ),
    (
        b"MATLAB 5.0",
        Message("a MATLAB file, such as MatConvNet's"),
        Message("Save its arrays by name: numpy.savez('weights.npz', **arrays)."),
    ),
    (b"\x89PNG", Message("an image"), Message("Give the file of weights.")),
    (b"\xff\xd8\xff", Message("an image"), Message("Give the file of weights.")),
    (b"%PDF", Message("a PDF document"), Message("Give the file of weights.")),
)
PAGE = (b"<!doctype html", b"<html", b"<head", b"<body")


def kind_of(path: Path) -> str:
    """The kind of weights a file holds.

    Raises:
        CheckpointError: it holds none; the message says what it is and what to do.
    """
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError("{path} is empty: 0 bytes. Fetch it again.", path=path)
    with path.open("rb") as file:
        head = file.read(HEAD)
        file.seek(max(0, size - 8))
        tail = file.read()
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith(PAGE) or (text.startswith(b"<?xml") and b"<html" in text):
        raise refused(
            path,
            Message("a web page (HTML), not a file of weights"),
            Message(
                "The link leads to a page, or the server asked for a login: use the download link (on Hugging Face "
                "/resolve/ in place of /blob/, on GitHub /raw/)."
            ),
        )
    for first, what, way_out in FOREIGN:
        if head.startswith(first):
            raise refused(path, what, way_out)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return kind_of_zip(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "hdf5"
    if is_safetensors(head, size):
        return "safetensors"
    if head[257:262] == b"ustar":
        return refuse_tar(path)
    if head[:2] in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "torch"
    refuse_other_programs(path, head, tail)
    if is_caffe(head):
        return "caffe"
    if text.startswith((b"{", b"[")):
        return kind_of_json(path)
    if path.suffix.lower() in BY_ENDING:
        refuse_text(path, head)
        return BY_ENDING[path.suffix.lower()]
    refuse_text(path, head)
    raise CheckpointError(
        "{path} is not a weights file that is known here: it begins with the bytes {head}. Known are files of PyTorch, "
        "safetensors, numpy (.npz), Keras (.h5, .keras) and Caffe (.caffemodel).",
        path=path,
        head=head[:8].hex(" "),
    )


def refused(path: Path, what: Message, way_out: Message) -> CheckpointError:
    return CheckpointError("{path} is {what}. {way_out}", path=path, what=what, way_out=way_out)


def is_safetensors(head: bytes, size: int) -> bool:
    """A length in 8 bytes and a JSON object behind it; a file cut short inside its header counts too."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    return 2 <= length <= max(size, 100 << 20)


def kind_of_zip(path: Path) -> str:
    """PyTorch, numpy and Keras save zip archives; so do others."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
        raise CheckpointError(
            "{path} is damaged or cut short: {error}. Fetch it again.", path=path, error=error
        ) from error
    leaves = {name.rpartition("/")[2] for name in names}
    below = {name.partition("/")[2] for name in names}
    if "constants.pkl" in leaves or any(name.startswith("code/") for name in below):
        raise refused(
            path,
            Message("a TorchScript archive (torch.jit.save): a program with its weights"),
            Message(
                "Where you trust it, save its weights alone in Python: "
                "torch.save(torch.jit.load({name!r}).state_dict(), 'weights.pth').",
                name=path.name,
            ),
        )
    if "archive_format" in leaves or "serialized_exported_program.json" in leaves or "models/model.json" in below:
        raise refused(
            path,
            Message("an exported program (torch.export, .pt2)"),
            Message(
                "Where you trust it, save its weights alone in Python: "
                "torch.save(dict(torch.export.load({name!r}).state_dict), 'weights.pth').",
                name=path.name,
            ),
        )
    if "data.pkl" in leaves:
        return "torch"
    if "model.weights.h5" in leaves:
        return "keras"
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    if "config.json" in leaves and path.suffix == ".keras":
        return "keras"
    inside = [name for name in names if Path(name).suffix.lower() in BY_ENDING]
    raise refused(
        path,
        Message("an archive (zip) of {n} files", n=len(names)),
        Message("Unpack it and give one of {names}.", names=", ".join(inside[:5])) if inside else UNPACK,
    )


def refuse_tar(path: Path) -> str:
    raise refused(path, Message("an archive (tar)"), UNPACK)


def refuse_other_programs(path: Path, head: bytes, tail: bytes) -> None:
    """Files of other programs that have no fixed first bytes.

    Raises:
        CheckpointError: it is one of these.
    """
    if head[4:8] == b"TFL3":
        raise refused(path, Message("a TensorFlow Lite model"), FROM_ORIGIN)
    if tail == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb" or ".data-00000-of-" in path.name:
        raise refused(
            path,
            Message("part of a TensorFlow checkpoint"),
            Message("Load it into the Keras network and save that: model.save('weights.keras')."),
        )
    if path.name == "saved_model.pb" or head[:3] == b"\x08\x01\x12":
        raise refused(
            path,
            Message("a TensorFlow SavedModel"),
            Message("Load it with Keras and save the network: model.save('weights.keras')."),
        )
    if head[0] == 0x08 and 1 < head[1] < 64 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42"):
        raise refused(path, Message("an ONNX model"), FROM_ORIGIN)
    if head.lstrip().startswith(b"<?xml") and b"<net" in head:
        raise refused(path, Message("an OpenVINO model"), FROM_ORIGIN)


def is_caffe(head: bytes) -> bool:
    """Whether the first fields are those of a NetParameter: a name, and then its layers."""
    view, position = memoryview(head), 0
    try:
        while True:
            key, position = varint(view, position)
            if key in (2 << 3 | 2, 100 << 3 | 2):
                return True
            if key == 1 << 3 | 2:
                length, position = varint(view, position)
                if any(byte < 32 for byte in view[position : position + length]):  # a message, not a name
                    return False
                position += length
            else:
                return False
    except (IndexError, ValueError):
        return False


def kind_of_json(path: Path) -> str:
    """An index of shards, or a text that is none."""
    if path.stat().st_size <= LARGEST_INDEX:
        try:
            document = json.loads(path.read_bytes())
        except (ValueError, RecursionError):
            document = None
        if isinstance(document, dict) and isinstance(document.get("weight_map"), dict):
            return "index"
        if isinstance(document, dict | list):
            raise refused(
                path,
                Message("a JSON document without weights"),
                Message("Give the file of weights beside it (or its index, *.index.json)."),
            )
    raise refused(
        path,
        Message("a text file, not a file of weights"),
        Message("Look at what it says, and fetch the weights again."),
    )


def refuse_text(path: Path, head: bytes) -> None:
    """Raise CheckpointError where the file is text: its first line says what it is."""
    try:
        text = head.decode("utf-8", errors="strict" if len(head) < HEAD else "ignore")
    except UnicodeDecodeError:
        return
    if all(character.isprintable() or character in "\r\n\t\f\ufeff" for character in text):
        line = text.strip("\ufeff\r\n\t ").splitlines()[0][:60] if text.strip() else ""
        raise refused(
            path,
            Message("a text file, not a file of weights; it begins: {line}", line=line),
            Message("Look at what it says, and fetch the weights again."),
        )


def in_folder(folder: Path) -> Path:
    """The weights that a folder holds under a usual name.

    Raises:
        CheckpointError: none or several; the message names what there is.
    """
    if (folder / "saved_model.pb").is_file():
        raise refused(
            folder,
            Message("a TensorFlow SavedModel"),
            Message("Load it with Keras and save the network: model.save('weights.keras')."),
        )
    for name in IN_FOLDER:
        if (folder / name).is_file():
            return folder / name
    files = sorted(file for file in folder.iterdir() if file.is_file())
    indexes = [file for file in files if file.name.endswith(INDEX)]
    weights = indexes or [file for file in files if file.suffix.lower() in BY_ENDING]
    if len(weights) == 1:
        return weights[0]
    if (folder / "data.pkl").is_file() or (folder / "version").is_file():
        raise refused(
            folder,
            Message("an unpacked PyTorch file"),
            Message("Give the file as it was before it was unpacked."),
        )
    names = ", ".join(file.name for file in weights[:5])
    raise CheckpointError(
        "{path} is a folder with several weights files: {names}. Give one of them."
        if weights
        else "{path} is a folder without a weights file{names}. Give the file itself.",
        path=folder,
        names=names,
    )

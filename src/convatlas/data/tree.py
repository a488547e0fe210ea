"""The files below a folder or in a zip archive, listed once and read one by one.

Files are named by their relative POSIX path. Archives are never extracted, so a member's name never becomes a path on
the disk.
"""

from __future__ import annotations

import lzma
import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Protocol, cast

from convatlas import units
from convatlas.errors import DataError
from convatlas.message import Message, system_reason

# Limits for one archive. Deflate compresses by a factor of at most 1032, real image sets by about 10. A member is
# refused if it is both large and compressed by more than MAX_RATIO (Keras refuses on the same two conditions).
MAX_MEMBERS = 4_000_000
MAX_MEMBER_BYTES = 4 << 30
LARGE_MEMBER_BYTES = 64 << 20
MAX_RATIO = 100

IGNORED_FOLDERS = {"__MACOSX"}
# what zipfile raises on a damaged member
_DAMAGED = (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes of a file, and a ``stamp`` (time of change, or CRC) that changes when the file changes."""

    size: int
    stamp: int


class Tree(Protocol):
    """A source of files.

    ``files`` maps sorted relative paths to entries. ``folders`` are sorted relative paths, empty folders included.
    ``refused`` maps entries that are not read, such as links and pipes, to the reason.
    """

    root: Path

    @property
    def files(self) -> dict[str, FileEntry]: ...

    @property
    def folders(self) -> tuple[str, ...]: ...

    @property
    def refused(self) -> dict[str, str]: ...

    def open(self, name: str) -> BinaryIO: ...

    def read(self, name: str) -> bytes: ...

    def display(self, name: str) -> str: ...

    def to_dict(self) -> dict[str, str]: ...


class FolderTree:
    """The regular files below a folder; hidden files are left out.

    A link to a file inside of the folder is read like a file. Other links are refused, unless ``follow_links``.

    Attributes:
        outside_links: links that lead outside of the folder or to a folder; refused, or followed with ``follow_links``.
    """

    def __init__(self, root: Path, follow_links: bool = False) -> None:
        self.root, self.follow_links = root, follow_links
        self.outside_links: list[str] = []

    @property
    def files(self) -> dict[str, FileEntry]:
        return self._listing[0]

    @property
    def folders(self) -> tuple[str, ...]:
        return self._listing[1]

    @property
    def refused(self) -> dict[str, str]:
        return self._listing[2]

    @cached_property
    def _listing(self) -> tuple[dict[str, FileEntry], tuple[str, ...], dict[str, str]]:
        files: dict[str, FileEntry] = {}
        folders: list[str] = []
        refused: dict[str, str] = {}
        listed = {os.path.realpath(self.root)}  # real paths of folders: a link to one of them would be a circle
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    here = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                raise DataError(
                    "folder {folder} cannot be listed: {reason}", folder=self.root / folder, reason=system_reason(error)
                ) from error
            for entry in here:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith(".") or entry.name in IGNORED_FOLDERS:
                    continue
                reason = self._why_link_refused(name, entry, listed) if entry.is_symlink() else ""
                if reason:
                    refused[name] = reason
                elif entry.is_dir():
                    listed.add(os.path.realpath(entry.path))
                    waiting.append(name)
                    folders.append(name)
                else:
                    try:
                        status = entry.stat()
                    except OSError as error:
                        refused[name] = system_reason(error)
                        continue
                    if stat.S_ISREG(status.st_mode):
                        files[name] = FileEntry(status.st_size, status.st_mtime_ns)
                    else:
                        refused[name] = Message("it is not a regular file")
        return dict(sorted(files.items())), tuple(sorted(folders)), refused

    def _why_link_refused(self, name: str, entry: os.DirEntry[str], listed: set[str]) -> str:
        """The reason for not reading a symbolic link; empty if it is read."""
        target = os.path.realpath(entry.path)
        if not os.path.exists(target):
            return Message("it is a link that leads to nothing")
        inside = target.startswith(os.path.realpath(self.root) + os.sep)
        if inside and not entry.is_dir():
            return ""
        if entry.is_dir() and (inside or any((each + os.sep).startswith(target + os.sep) for each in listed)):
            return Message("it is a link to a folder that is read already")
        self.outside_links.append(name)
        if self.follow_links:
            return ""
        if entry.is_dir():
            return Message("it is a link to a folder, and --follow-links is not given")
        return Message("it is a link that leads outside of {root}, and --follow-links is not given", root=self.root)

    def open(self, name: str) -> BinaryIO:
        return (self.root / name).open("rb")

    def read(self, name: str) -> bytes:
        """All bytes of one file of the listing.

        Raises:
            OSError: it is gone or cannot be read.
        """
        return (self.root / name).read_bytes()

    def display(self, name: str) -> str:
        return str(self.root / name)

    def to_dict(self) -> dict[str, str]:
        return {"folder": str(self.root)}


class ZipTree:
    """The regular members of a zip archive; it is refused if a member has an unsafe name or is a zip bomb."""

    def __init__(self, root: Path) -> None:
        self.root = root
        try:
            self._archive = zipfile.ZipFile(root)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise DataError("{root} is not a zip archive that can be read: {error}", root=root, error=error) from error
        self.refused: dict[str, str] = {}
        self._folders: set[str] = set()
        self._members = self._checked(self._archive.infolist())
        self.files = {name: FileEntry(info.file_size, info.CRC) for name, info in sorted(self._members.items())}
        parents = {str(parent) for name in self.files for parent in PurePosixPath(name).parents}
        self.folders = tuple(sorted((parents | self._folders) - {"."}))

    def _checked(self, infos: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
        if len(infos) > MAX_MEMBERS:
            raise DataError(
                "{root} lists {infos} members; at most {max_members} are read",
                root=self.root,
                infos=units.exact(len(infos)),
                max_members=MAX_MEMBERS,
            )
        members: dict[str, zipfile.ZipInfo] = {}
        end_of_last, last = 0, ""
        for info in sorted(infos, key=lambda info: info.header_offset):
            name = _member_name(info)
            if info.header_offset < end_of_last:
                raise DataError(
                    "{root}: members {last!r} and {name!r} overlap, as in a zip bomb; it is not read",
                    root=self.root,
                    last=last,
                    name=name,
                )
            # the local header takes at least 30 bytes and the name; the data begin there or later
            end_of_last, last = info.header_offset + 30 + info.compress_size, name
            if info.is_dir():
                self._folders.add(name.rstrip("/"))
                continue
            reason = _why_refused(info, name)
            if reason:
                raise DataError(
                    "{root}: member {name!r} {reason}; the archive is not read",
                    root=self.root,
                    name=name,
                    reason=reason,
                )
            parts = name.split("/")
            if any(part.startswith(".") or part in IGNORED_FOLDERS for part in parts):
                continue
            if name in members:
                raise DataError(
                    "{root}: two members are called {name!r}; the archive is not read", root=self.root, name=name
                )
            members[name] = info
        return members

    def open(self, name: str) -> BinaryIO:
        try:
            return cast(BinaryIO, self._archive.open(self._members[name]))
        except _DAMAGED as error:
            raise OSError(Message("damaged archive member: {error}", error=error)) from error

    def read(self, name: str) -> bytes:
        """All bytes of one member, checked against its CRC; never more bytes than the archive's directory declares.

        Raises:
            OSError: the member is damaged.
        """
        info = self._members[name]
        try:
            with self._archive.open(info) as member:
                return member.read(info.file_size + 1)
        except _DAMAGED as error:
            raise OSError(Message("damaged archive member: {error}", error=error)) from error

    def display(self, name: str) -> str:
        return f"{self.root}!{name}"

    def to_dict(self) -> dict[str, str]:
        return {"zip": str(self.root)}


def _member_name(info: zipfile.ZipInfo) -> str:
    """The decoded name of a member. Without the UTF-8 flag it may be cp949 (Korean Windows) or UTF-8 (older macOS)."""
    if info.flag_bits & 0x800 or info.orig_filename.isascii():
        return info.filename
    raw = info.filename.encode("cp437")
    for encoding in ("utf-8", "cp949"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return info.filename


def _why_refused(info: zipfile.ZipInfo, name: str) -> Message:
    if "\0" in info.orig_filename or "\\" in info.orig_filename:
        return Message("has a NUL or a backslash in its name")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        return Message("has a name that leads outside of the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        return Message("is a link")
    if info.flag_bits & 0x1:
        return Message("is encrypted")
    size = units.bytes_(info.file_size)
    if info.file_size > MAX_MEMBER_BYTES:
        return Message("unpacks to {size}, more than {most}", size=size, most=units.bytes_(MAX_MEMBER_BYTES))
    if info.file_size > LARGE_MEMBER_BYTES and info.file_size > MAX_RATIO * max(1, info.compress_size):
        return Message(
            "unpacks to {size}, over {times} times what is stored, as in a zip bomb", size=size, times=MAX_RATIO
        )
    return Message("")

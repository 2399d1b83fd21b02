"""Large values as files that the processes of one user on one machine share.

The store has everything that is here: a value is brought from here because that is faster, and only
if it is what its hash says. Who finds nothing here, on another machine for one, asks the store.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import time
import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

Buffer = bytes | bytearray | memoryview | mmap.mmap

SHELF_BYTES = 2 * 1024 * 1024 * 1024
KEPT_S = 1800.0
SHELVED_FROM = 256 * 1024
"""Smaller values are as fast from the store."""
PIECE = 1024 * 1024
DRAFT = ".new-"


class Spool(mmap.mmap):
    """A file's bytes, and the file, which has no name yet."""

    descriptor: int

    @classmethod
    def of(cls, folder: Path, pieces: Iterable[Buffer]) -> Spool:
        """The pieces one after the other, on the disk of the folder."""
        descriptor = _nameless(folder)
        try:
            with open(descriptor, "wb", closefd=False) as file:
                for piece in pieces:
                    file.write(piece)
            spool = cls(descriptor, 0, access=mmap.ACCESS_READ)
        except BaseException:
            os.close(descriptor)
            raise
        spool.descriptor = descriptor
        weakref.finalize(spool, os.close, descriptor)
        return spool


def _nameless(folder: Path) -> int:
    """A new file that goes away with its last user, unless it is given a name."""
    with contextlib.suppress(OSError, AttributeError):  # not every system and file system has such files
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    path = folder / f"{DRAFT}{os.urandom(8).hex()}"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    path.unlink()
    return descriptor


@dataclass(frozen=True)
class Shelf:
    """A folder of values, each under its SHA-256; the oldest go first.

    Nothing here fails: what cannot be put on the shelf, or taken from it, is not there.
    """

    folder: Path

    def put(self, digest: str, pieces: list[Buffer]) -> None:
        """Put a value here, of which the caller knows that this is its hash."""
        path = self.folder / digest
        if path.exists() or not self._wanted():
            return
        draft = self.folder / f"{DRAFT}{os.urandom(8).hex()}"
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            try:
                if not _named(pieces, draft):
                    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                        for piece in pieces:
                            file.write(piece)
                os.replace(draft, path)
            finally:
                draft.unlink(missing_ok=True)
            self._trim()

    def adopt(self, made: Path, digest: str) -> None:
        """As `put`, for a file that nobody writes to any more: it is here as well from now on."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, exist_ok=True)
            os.link(made, self.folder / digest)
            self._trim()

    def read(self, digest: str, size: int) -> bytearray | None:
        """The value in memory that nobody else has; None when it is not here as it should be."""
        try:
            with open(self.folder / digest, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size == size:
                    whole, sha, at = bytearray(size), hashlib.sha256(), 0
                    view = memoryview(whole)
                    while step := file.readinto(view[at : at + PIECE]):
                        sha.update(view[at : at + step])
                        at += step
                    if at == size and sha.hexdigest() == digest:
                        return whole
        except OSError:
            return None
        self._drop(digest)
        return None

    def lend(self, digest: str, size: int, path: Path) -> bool:
        """True when `path`, where nothing was, is a file with the value, checked; else there is nothing."""
        try:
            os.link(self.folder / digest, path)
            with open(path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size == size:
                    sha, room = hashlib.sha256(), memoryview(bytearray(PIECE))
                    while step := file.readinto(room):
                        sha.update(room[:step])
                    if sha.hexdigest() == digest:
                        return True
            path.unlink()
        except OSError:
            return False
        self._drop(digest)
        return False

    def _wanted(self) -> bool:
        """True when somebody else on this machine keeps values beside the shelf: a worker."""
        try:
            return any(name != self.folder.name for name in os.listdir(self.folder.parent))
        except OSError:
            return False

    def _drop(self, digest: str) -> None:
        with contextlib.suppress(OSError):
            (self.folder / digest).unlink(missing_ok=True)

    def _trim(self) -> None:
        """Remove what is old, and the oldest of what is too much; never the newest."""
        found = ((path.stat(), path) for path in self.folder.iterdir())
        files = sorted(((facts.st_mtime, facts.st_size, path) for facts, path in found), reverse=True)
        total, oldest = 0, time.time() - KEPT_S
        for place, (since, size, path) in enumerate(files):
            total += size
            if place and (total > SHELF_BYTES or since < oldest):
                path.unlink()


def _named(pieces: list[Buffer], path: Path) -> bool:
    """True when the pieces are a nameless file's, which has that name now."""
    if len(pieces) != 1 or not isinstance(pieces[0], Spool):
        return False
    number = pieces[0].descriptor
    with contextlib.suppress(OSError):
        # A directory is given, if one that nothing is looked up in: only then is the link followed.
        os.link(f"/proc/self/fd/{number}", path, src_dir_fd=number, follow_symlinks=True)
        return True
    return False

"""File systems of our own: an ext4 image on a loop device, a small tmpfs, and copies made in an instant.

The copy of an image is what a disk would hold if the power went at that moment: whatever the
file system over the loop device has not written through yet is in the kernel's memory and not in the copy.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from ground import NotHere

PIECE = 2**20
ZEROS = bytes(PIECE)
COMMIT_S = 600
"""The journal is written this seldom by itself, so that a copy catches no half of it: only flushes write."""


def missing() -> str:
    """Why no image can be mounted here; empty when one can."""
    if os.geteuid():
        return "mounting a loop image needs root"
    for program in ("mkfs.ext4", "mount", "losetup"):
        if shutil.which(program) is None:
            return f"the program {program} is not here"
    if not Path("/dev/loop-control").exists():
        return "there are no loop devices here"
    return ""


def tell(*command: object) -> None:
    """Run a program; NotHere with its last line when it fails."""
    done = subprocess.run([str(each) for each in command], capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or f"code {done.returncode}").splitlines()[-1]
        raise NotHere(f"{command[0]} does not work here: {last}")


@contextlib.contextmanager
def mounted(image: Path, at: Path, *, fresh_mb: int = 0) -> Iterator[Path]:
    """The image's file system at a folder; a new one of so many MB, or that of a copy."""
    if reason := missing():
        raise NotHere(reason)
    if fresh_mb:
        with image.open("wb") as file:
            file.truncate(fresh_mb * 2**20)
        tell("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image)
    at.mkdir(exist_ok=True)
    tell("mount", "-o", f"loop,commit={COMMIT_S}", image, at)
    try:
        yield at
    finally:
        unmount(at)


def unmount(at: Path) -> None:
    """A server that has just been ended may hold a file for a moment longer: its threads end one by one."""
    deadline = time.monotonic() + 10
    while True:
        try:
            tell("umount", at)
            return
        except NotHere:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


@contextlib.contextmanager
def tmpfs(at: Path, megabytes: int) -> Iterator[Path]:
    """A file system in memory, that can be filled in no time."""
    if os.geteuid():
        raise NotHere("mounting a tmpfs needs root")
    at.mkdir(exist_ok=True)
    tell("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", at)
    try:
        yield at
    finally:
        unmount(at)


def copy(image: Path, to: Path) -> None:
    """The image as it is at this moment; read whole, as what a file system says of holes may be late."""
    with image.open("rb", buffering=0) as source, to.open("wb", buffering=0) as target:
        while piece := source.read(PIECE):
            if piece == ZEROS[: len(piece)]:
                target.seek(len(piece), os.SEEK_CUR)
            else:
                target.write(piece)
        target.truncate(source.tell())

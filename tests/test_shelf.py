"""Values as files beside the store: what is taken from there is right, or it is fetched from the store."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from elfbook.errors import StoreFull
from elfbook.model import ValueRef
from elfbook.store import shelf as shelf_module
from elfbook.store.blobs import CHUNK
from elfbook.store.mycelium import Mycelium
from elfbook.store.shelf import Shelf, Spool
from elfbook.wire import digest_of
from elfbook.work.parcels import Cellar

VALUE = os.urandom(3 * CHUNK + 5)
DIGEST = digest_of(VALUE)
REF = ValueRef(digest=DIGEST, size=len(VALUE), preview="")


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    """A shelf, and a worker beside it."""
    (tmp_path / "values" / "worker-1").mkdir(parents=True)
    return Shelf(tmp_path / "values" / "shelf.")


@pytest.fixture
def shelved(mycelium: Mycelium, shelf: Shelf) -> Mycelium:
    mycelium.shelf = shelf
    return mycelium


def names(shelf: Shelf) -> list[str]:
    return sorted(path.name for path in shelf.folder.iterdir())


async def chunks_stored(mycelium: Mycelium) -> int:
    return (await mycelium.link.api(f"STREAM.INFO.{mycelium.names.blobs}"))["state"]["messages"]


DAMAGE = {
    "altered": lambda path: path.write_bytes(b"x" + path.read_bytes()[1:]),
    "cut short": lambda path: os.truncate(path, len(VALUE) - 1),
    "longer": lambda path: path.write_bytes(VALUE + b"x"),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
}
damaged = pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)


# ---------------------------------------------------------------------- the shelf by itself


def test_what_was_put_there_is_there(shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(DIGEST, [VALUE[:7], memoryview(VALUE)[7:]])
    assert shelf.read(DIGEST, len(VALUE)) == VALUE
    assert shelf.lend(DIGEST, len(VALUE), tmp_path / "mine")
    assert (tmp_path / "mine").read_bytes() == VALUE


@damaged
def test_what_is_not_as_it_should_be_is_not_there(shelf: Shelf, tmp_path: Path, damage) -> None:
    for take in (
        lambda: shelf.read(DIGEST, len(VALUE)) is None,
        lambda: shelf.lend(DIGEST, len(VALUE), tmp_path / "mine") is False,
    ):
        shelf.put(DIGEST, [VALUE])
        damage(shelf.folder / DIGEST)
        assert take()
        assert names(shelf) == [] and not (tmp_path / "mine").exists()


def test_files_are_for_this_user_only(shelf: Shelf) -> None:
    shelf.put(DIGEST, [VALUE])
    assert (shelf.folder.stat().st_mode & 0o777, (shelf.folder / DIGEST).stat().st_mode & 0o777) == (0o700, 0o600)


def test_without_a_worker_on_this_machine_nothing_is_put_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "values" / "shelf.")
    shelf.put(DIGEST, [VALUE])
    shelf.folder.mkdir(parents=True)
    shelf.put(DIGEST, [VALUE])
    assert names(shelf) == []


def test_a_value_is_there_whole_or_not_at_all(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf_module.os, "replace", fails)
    shelf.put(DIGEST, [VALUE])
    assert names(shelf) == []


def test_the_oldest_go_first_and_the_newest_stays(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf_module, "SHELF_BYTES", 25)
    for age, name in ((30, "a" * 64), (20, "b" * 64), (10, "c" * 64)):
        shelf.put(name, [b"0123456789"])
        os.utime(shelf.folder / name, (time.time() - age,) * 2)
    shelf.put("d" * 64, [b"0123456789"])
    assert names(shelf) == ["c" * 64, "d" * 64]
    shelf.put("e" * 64, [b"0" * 100])
    assert names(shelf) == ["e" * 64]


def test_what_is_old_goes(shelf: Shelf) -> None:
    shelf.put("a" * 64, [b"0123456789"])
    os.utime(shelf.folder / ("a" * 64), (time.time() - shelf_module.KEPT_S - 1,) * 2)
    shelf.put("b" * 64, [b"0123456789"])
    assert names(shelf) == ["b" * 64]


def test_a_file_that_was_made_elsewhere_is_taken_as_it_is(shelf: Shelf, tmp_path: Path) -> None:
    made = tmp_path / "values" / "worker-1" / "out"
    made.write_bytes(VALUE)
    shelf.adopt(made, DIGEST)
    shelf.adopt(made, DIGEST)
    assert (shelf.folder / DIGEST).samefile(made)
    assert shelf.read(DIGEST, len(VALUE)) == VALUE


@pytest.mark.parametrize("linked", [True, False], ids=["by a name", "by its bytes"])
def test_a_spooled_value_is_put_there(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    spool = Spool.of(tmp_path, [VALUE[:7], VALUE[7:]])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["values"]
    if not linked:
        monkeypatch.setattr(shelf_module, "_named", lambda *_: False)
    shelf.put(DIGEST, [spool])
    assert shelf.read(DIGEST, len(VALUE)) == VALUE == bytes(spool)
    same = (shelf.folder / DIGEST).stat().st_ino == os.fstat(spool.descriptor).st_ino
    assert same is linked


# ---------------------------------------------------------------------- the shelf and the store


async def test_a_value_on_the_shelf_is_in_the_store_as_well(shelved: Mycelium) -> None:
    await shelved.store(DIGEST, [VALUE])
    assert await chunks_stored(shelved) == 4
    assert await (await shelved.blobs()).get(DIGEST, len(VALUE)) == VALUE


async def test_a_value_that_only_the_shelf_has_is_stored(shelved: Mycelium, shelf: Shelf) -> None:
    """The shelf is no proof that anything was stored: whoever put it there may not have come so far."""
    shelf.put(DIGEST, [VALUE])
    await shelved.store(DIGEST, [VALUE])
    assert await chunks_stored(shelved) == 4


async def test_a_store_that_takes_nothing_is_not_made_up_for(shelved: Mycelium) -> None:
    stream = shelved.names.blobs
    config = (await shelved.link.api(f"STREAM.INFO.{stream}"))["config"]
    await shelved.link.api(f"STREAM.UPDATE.{stream}", {**config, "max_bytes": CHUNK})
    shelved.pressure.patience_s = 0.3
    with pytest.raises(StoreFull):
        await shelved.store(DIGEST, [VALUE])


async def test_a_spool_has_a_name_only_once_it_is_stored(
    shelved: Mycelium, shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before, nobody can change what is being stored."""
    seen = []
    put = Shelf.put

    def noted(self: Shelf, digest: str, pieces: list) -> None:
        seen.append(sum(len(piece) for piece in pieces))
        put(self, digest, pieces)

    blobs = await shelved.blobs()

    async def stored(digest: str, pieces: list, size: int) -> None:
        assert not seen
        await blobs.put(digest, pieces, size)

    async def with_notes():
        return type("Noted", (), {"put": staticmethod(stored)})

    monkeypatch.setattr(Shelf, "put", noted)
    monkeypatch.setattr(shelved, "blobs", with_notes)
    await shelved.store(DIGEST, [Spool.of(tmp_path, [VALUE])])
    assert seen == [len(VALUE)]
    assert names(shelf) == [DIGEST]


@damaged
async def test_what_the_shelf_cannot_give_the_store_gives(
    shelved: Mycelium, shelf: Shelf, tmp_path: Path, damage
) -> None:
    await shelved.store(DIGEST, [VALUE])
    damage(shelf.folder / DIGEST)
    assert await shelved.fetch(REF) == VALUE
    shelf.put(DIGEST, [VALUE])
    damage(shelf.folder / DIGEST)
    cellar = Cellar(tmp_path / "values" / "worker-1")
    assert Path(await cellar.bring(shelved, REF)).read_bytes() == VALUE


async def test_what_is_on_the_shelf_is_not_fetched(shelved: Mycelium, shelf: Shelf, tmp_path: Path) -> None:
    shelf.put(DIGEST, [VALUE])  # and the store has nothing
    assert await shelved.fetch(REF) == VALUE
    cellar = Cellar(tmp_path / "values" / "worker-1")
    assert Path(await cellar.bring(shelved, REF)).samefile(shelf.folder / DIGEST)


async def test_small_values_are_not_put_there(shelved: Mycelium, shelf: Shelf) -> None:
    small = os.urandom(shelf_module.SHELVED_FROM - 1)
    await shelved.store(digest_of(small), [small])
    assert not shelf.folder.exists()

"""The cache: where it is, how large it may become, and what goes first."""

import fcntl
import os

import pytest

from tfdisent.cache import MAKING, STALE_S, cache_folder, hold, limit_bytes, make_room, used
from tfdisent.errors import ConfigError


@pytest.fixture
def kept(tmp_path, monkeypatch):
  """A function that writes an entry of 1,000 bytes, as old as is said; the cache may hold 3,500 bytes."""
  monkeypatch.setenv("TFDISENT_CACHE_GB", "3.5e-6")

  def write(number, age, kind="images", suffixes=("uint8",)):
    for suffix in suffixes:
      path = tmp_path / f"{kind}-{number:016x}.{suffix}"
      path.write_bytes(bytes(1000 // len(suffixes)))
      os.utime(path, (10**9 - age, 10**9 - age))
    return path

  return write


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_what_was_not_used_for_longest_goes_first(kept, tmp_path, capsys):
  files = [kept(1, 50), kept(2, 90, "oracle", ("weights.h5",)), kept(3, 70), kept(4, 80, suffixes=("uint8", "npz"))]
  used(files[0])
  make_room(kept(5, 100))  # the newest stays, whatever its time
  assert names(tmp_path) == sorted(path.name for path in (files[0], files[2], tmp_path / f"images-{5:016x}.uint8"))
  assert f"were removed from {tmp_path}, which may hold 3.5e-06 GB (TFDISENT_CACHE_GB)" in capsys.readouterr().out
  make_room(files[0])
  assert len(names(tmp_path)) == 3 and not capsys.readouterr().out


def test_files_of_others_and_files_that_are_held_stay(kept, tmp_path):
  foreign = [tmp_path / "holiday.uint8", tmp_path / "thesis.npz", tmp_path / "images-1.uint8"]
  for path in foreign:
    path.write_bytes(bytes(9000))
  old = [kept(number, 100 - number) for number in range(5)]
  with old[0].open("rb") as file:
    hold(file)
    make_room(old[4])
    assert set(names(tmp_path)) == {path.name for path in (*foreign, old[0], old[3], old[4])}
  make_room(kept(6, 0))
  assert not old[0].exists()


def test_what_a_process_left_unfinished_goes_after_a_day(kept, tmp_path):
  stale, making = tmp_path / f"{MAKING}a", tmp_path / f"{MAKING}b"
  for folder in (stale, making):
    folder.mkdir()
    (folder / "images").touch()
  os.utime(stale, (0, os.stat(making).st_mtime - STALE_S - 60))
  make_room(kept(1, 0))
  assert making.exists() and not stale.exists()


def test_a_use_leaves_the_time_of_the_content(kept):
  file = kept(1, 7)
  before = file.stat()
  used(file)
  assert file.stat().st_mtime_ns == before.st_mtime_ns and file.stat().st_atime_ns > before.st_atime_ns
  used(file.with_name("absent"))


def test_a_drive_without_locks_is_used_and_nothing_is_removed_from_it(kept, tmp_path, monkeypatch):
  files = [kept(number, 9 - number) for number in range(5)]

  def refuse(file, operation):
    raise OSError("no locks")

  monkeypatch.setattr(fcntl, "flock", refuse)
  with files[0].open("rb") as file:
    hold(file)
  make_room(files[4])
  assert len(names(tmp_path)) == 5


def test_the_folder_is_that_of_the_variable_or_of_the_home(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.setenv("TFDISENT_CACHE", "~/kept")
  assert cache_folder() == tmp_path / "kept"
  monkeypatch.setenv("TFDISENT_CACHE", "")
  assert cache_folder() == tmp_path / ".cache" / "tfdisent"
  monkeypatch.setattr("pathlib.Path.home", lambda: (_ for _ in ()).throw(RuntimeError("nobody")))
  with pytest.raises(ConfigError, match=r"no home folder for the cache .*set TFDISENT_CACHE"):
    cache_folder()
  monkeypatch.setenv("TFDISENT_CACHE", "/kept")
  assert str(cache_folder()) == "/kept"


@pytest.mark.parametrize("said", ["0", "-1", "ten", "nan"])
def test_a_limit_that_is_none_is_named(said, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE_GB", said)
  with pytest.raises(ConfigError, match=f"TFDISENT_CACHE_GB = '{said}' must be a positive number of gigabytes"):
    limit_bytes()


def test_the_limit_is_20_gb_unless_it_is_set(monkeypatch):
  monkeypatch.delenv("TFDISENT_CACHE_GB", raising=False)
  assert limit_bytes() == 20e9
  monkeypatch.setenv("TFDISENT_CACHE_GB", "0.5")
  assert limit_bytes() == 5e8

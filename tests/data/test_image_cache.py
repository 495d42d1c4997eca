"""The cache of prepared images: what it keeps, what it is kept under, and what is done about damage."""

import hashlib
import pathlib

import numpy as np
import pytest

from tfdisent.cache import cache_folder
from tfdisent.data import image_cache
from tfdisent.data.image_cache import cached_images, state, update_with_columns
from tfdisent.errors import DataError

IMAGES = np.random.default_rng(0).integers(256, size=(6, 2, 3, 1), dtype=np.uint8)
COLUMNS = {"label": np.arange(6), "file": np.ones(6, np.float32), "digest": np.zeros(6), "checks": np.zeros(6)}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))
  return tmp_path / "cache"


def prepare(key="key", images=IMAGES, columns=COLUMNS, shape=(2, 3, 1)):
  """What the cache gives, and whether it had to be prepared."""
  calls = []

  def produce(append):
    calls.append(True)
    for image in images:
      append(image)
    return columns

  return cached_images(key, shape, "six images", produce), bool(calls)


def same(prepared):
  np.testing.assert_array_equal(prepared.images, IMAGES)
  assert prepared.columns.keys() == COLUMNS.keys()
  for name, column in COLUMNS.items():
    np.testing.assert_array_equal(prepared.columns[name], column)
    assert prepared.columns[name].dtype == column.dtype


def test_images_and_columns_are_prepared_once_and_mapped(folder, capsys):
  first, prepared = prepare()
  assert prepared and isinstance(first.images, np.memmap) and first.images.dtype == np.uint8
  (file,) = folder.glob("images-*.uint8")
  assert file.read_bytes() == IMAGES.tobytes() and sorted(folder.iterdir()) == sorted([file, file.with_suffix(".npz")])
  assert f"Preparing six images; they are kept in {file}." in capsys.readouterr().out
  again, prepared = prepare()
  assert not prepared and again.digest == first.digest and not capsys.readouterr().out
  same(first)
  same(again)


def test_another_key_or_shape_is_prepared_anew():
  assert [prepare(key)[1] for key in ("a", "b", "a")] == [True, True, False]
  assert prepare("a", IMAGES.reshape(6, 3, 2, 1), shape=(3, 2, 1))[1]


def test_another_version_of_the_preparation_or_of_pillow_prepares_anew(monkeypatch):
  assert prepare()[1] and not prepare()[1]
  monkeypatch.setattr(image_cache, "PREPARATION", image_cache.PREPARATION + 1)
  assert prepare()[1] and not prepare()[1]
  monkeypatch.setattr(image_cache.PIL, "__version__", "0.0")
  assert prepare()[1] and not prepare()[1]


def test_images_of_other_strides_and_shapes_are_written_as_they_are():
  (images, *_), _ = prepare(images=[image[::-1, ::-1, 0] for image in IMAGES])
  np.testing.assert_array_equal(images, IMAGES[:, ::-1, ::-1])


def test_the_digest_is_of_the_content_alone():
  digest = prepare("a")[0].digest
  assert len(digest) == 64 and digest == prepare("b")[0].digest
  other = [
    prepare("c", IMAGES[::-1])[0].digest,
    prepare("d", columns={**COLUMNS, "label": np.arange(6)[::-1].copy()})[0].digest,
    prepare("e", columns={**COLUMNS, "label": np.arange(6.0)})[0].digest,
    prepare("f", columns={})[0].digest,
    prepare("g", IMAGES.reshape(6, 3, 2, 1), shape=(3, 2, 1))[0].digest,
  ]
  assert len({digest, *other}) == 6


def test_columns_are_hashed_with_their_names_types_and_shapes_in_any_order():
  def digest(**columns):
    hashed = hashlib.sha256()
    update_with_columns(hashed, columns)
    return hashed.hexdigest()

  a, b = np.arange(4), np.arange(4, 8)
  assert digest(a=a, b=b) == digest(b=b, a=a)
  assert len({digest(a=a, b=b), digest(a=b, b=a), digest(a=a), digest(a=a.reshape(2, 2)), digest(a=a.view("f8"))}) == 5


DAMAGES = {
  "cut": lambda images, table: images.write_bytes(images.read_bytes()[:-6]),
  "cut within an image": lambda images, table: images.write_bytes(images.read_bytes()[:-1]),
  "longer": lambda images, table: images.write_bytes(images.read_bytes() + bytes(6)),
  "empty": lambda images, table: images.write_bytes(b""),
  "other pixels": lambda images, table: images.write_bytes(bytes(6) + images.read_bytes()[6:]),
  "no images": lambda images, table: images.unlink(),
  "no columns": lambda images, table: table.unlink(),
  "columns cut": lambda images, table: table.write_bytes(table.read_bytes()[:-40]),
  "columns empty": lambda images, table: table.write_bytes(b""),
  "columns of nothing": lambda images, table: table.write_bytes(b"nothing"),
  "columns without ours": lambda images, table: np.savez(table, label=np.arange(6)),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_prepared_again_with_a_warning(damage, folder, caplog):
  prepare()
  (images,) = folder.glob("*.uint8")
  damage(images, images.with_suffix(".npz"))
  again, prepared = prepare()
  assert prepared
  same(again)
  (warning,) = caplog.messages
  assert str(images) in warning and "is damaged (" in warning and "it is made again" in warning
  assert not prepare()[1]


def test_of_many_images_every_other_one_is_checked(folder, monkeypatch):
  assert image_cache.BYTES_CHECKED == 64 * 1024**2
  prepare()
  (images,) = folder.glob("*.uint8")
  content = images.read_bytes()
  monkeypatch.setattr(image_cache, "BYTES_CHECKED", 36)
  images.write_bytes(content[:6] + bytes(6) + content[12:])
  assert not prepare()[1]
  images.write_bytes(content[:12] + bytes(6) + content[18:])
  assert prepare()[1]


def test_no_images_are_refused_and_leave_nothing(folder):
  with pytest.raises(DataError, match="there are no images among six images"):
    prepare(images=[])
  assert not list(folder.iterdir())


def test_a_failure_leaves_nothing(folder):
  def fail(append):
    append(IMAGES[0])
    raise KeyError("x")

  with pytest.raises(KeyError):
    cached_images("key", (2, 3, 1), "six images", fail)
  assert not list(folder.iterdir())


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
  (tmp_path / "file").touch()
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "file" / "cache"))
  with pytest.raises(DataError, match=r"six images cannot be prepared in .*file/cache .*TFDISENT_CACHE"):
    prepare()


def test_a_full_cache_and_a_source_that_cannot_be_read_are_told_apart(folder, tmp_path, monkeypatch):
  def absent(append):
    append(IMAGES[0])
    return {"x": (tmp_path / "shard.tar").read_bytes()}

  with pytest.raises(DataError, match=r"^six images cannot be read: .*No such file .*shard.tar'\.$"):
    cached_images("key", (2, 3, 1), "six images", absent)
  opened = pathlib.Path.open

  class Full:
    def __init__(self, file):
      self.file = file

    def __enter__(self):
      return self

    def __exit__(self, *_):
      self.file.close()

    def write(self, _):
      raise OSError("No space left on device")

  def full(path, mode="r", *more):
    return Full(opened(path, mode)) if mode == "wb" else opened(path, mode, *more)

  monkeypatch.setattr(pathlib.Path, "open", full)
  with pytest.raises(DataError, match=r"cannot be prepared in .* \(No space left on device\). TFDISENT_CACHE names"):
    prepare()
  assert not list(folder.iterdir())


def test_the_state_of_a_file_tells_every_change_of_it(tmp_path):
  file = tmp_path / "file"
  assert state(file) == state(tmp_path / "nul\0") == (0, 0, 0)
  file.write_bytes(b"ab")
  of_file = file.stat()
  assert state(file) == (2, of_file.st_mtime_ns, of_file.st_ctime_ns)


def test_where_times_are_of_whole_seconds_the_content_tells(tmp_path, monkeypatch):
  class Coarse:
    st_size, st_mtime_ns, st_ctime_ns = 2, 10**9, 2 * 10**9

  def of_content(content):
    (tmp_path / "file").write_bytes(content)
    with monkeypatch.context() as patch:
      patch.setattr(type(tmp_path), "stat", lambda self: Coarse)
      return state(tmp_path / "file")

  assert of_content(b"ab")[:3] == (2, 10**9, 2 * 10**9)
  assert of_content(b"ab") == of_content(b"ab") != of_content(b"ba")


def test_images_that_are_mapped_are_not_removed_and_others_are(folder, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE_GB", "1e-9")
  (mapped, *_), _ = prepare("a")
  part = mapped[2:4]
  del mapped
  prepare("b")
  prepare("c")
  assert len(list(folder.glob("*.uint8"))) == 2  # "a", which `part` holds, and the newest
  np.testing.assert_array_equal(part, IMAGES[2:4])
  assert not prepare("a")[1] and prepare("b")[1]
  del part
  prepare("d")
  assert len(list(folder.glob("*.uint8"))) == 1


def test_the_cache_is_in_the_home_unless_told_otherwise(folder, tmp_path, monkeypatch):
  assert cache_folder() == folder
  monkeypatch.delenv("TFDISENT_CACHE")
  monkeypatch.setenv("HOME", str(tmp_path))
  assert cache_folder() == tmp_path / ".cache" / "tfdisent"

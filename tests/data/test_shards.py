"""Sets of shards: what is read of them, what is refused, and that a training on them goes on to the bit."""

import gzip
import io
import json
import os
import pathlib
import resource
import tarfile

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tfdisent
from tests.processes import Fork
from tfdisent import plan
from tfdisent.data.archives import shards_in, split_of
from tfdisent.data.dataset import SPLITS
from tfdisent.data.shards import from_shards, shards
from tfdisent.errors import ConfigError, DataError


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))


def png(number, size=(8, 8)):
  """A picture of which the first channel is the number, and another one for each number."""
  file = io.BytesIO()
  PIL.Image.new("RGB", size, (number % 256, number // 256, 10)).save(file, "png")
  return file.getvalue()


def write_tar(path, members):
  path.parent.mkdir(parents=True, exist_ok=True)
  with tarfile.open(path, "w") as archive:
    for name, content in members:
      member = tarfile.TarInfo(name)
      member.size = len(content)
      archive.addfile(member, io.BytesIO(content))


def example(number, **more):
  said = {"size": number / 10, "tone": ["dark", "light"][number % 2], **more}
  return [
    (f"part/{number:06}.cls", str(number % 3).encode()),
    (f"part/{number:06}.png", png(number)),
    (f"part/{number:06}.json", json.dumps(said).encode()),
  ]


@pytest.fixture
def birds(tmp_path):
  """Five shards of 24 images."""
  for shard in range(5):
    members = [member for i in range(24) for member in example(24 * shard + i)]
    write_tar(tmp_path / "birds" / f"birds-{shard}.tar", members)
  return tmp_path / "birds"


def numbers_of(examples):
  image = examples["image"][:, 0, 0].astype(int)
  return image[:, 0] + 256 * image[:, 1]


def test_examples_of_a_tar_have_their_image_and_their_columns(birds):
  dataset = from_shards(birds)
  kinds = {name: column.kind for name, column in dataset.columns.items()}
  assert kinds == {"label": "category", "size": "number", "tone": "attribute"}
  assert dataset.class_names == {"label": ("0", "1", "2"), "tone": ("dark", "light")} and dataset.image_shape == (
    8,
    8,
    3,
  )
  numbers = {split: numbers_of(dataset[split]) for split in SPLITS}
  np.testing.assert_array_equal(np.sort(np.concatenate([*numbers.values()])), np.arange(120))
  for split, of_split in numbers.items():
    np.testing.assert_array_equal(dataset[split]["label"], of_split % 3)
    np.testing.assert_array_equal(dataset[split]["tone"], of_split % 2)
    np.testing.assert_allclose(dataset[split]["size"], of_split / 10, rtol=1e-6)


def test_training_images_lie_in_the_order_of_the_shards_in_a_file(birds):
  dataset = from_shards(birds, buffer=7, readers=3)
  train = numbers_of(dataset.train)
  np.testing.assert_array_equal(train, np.sort(train))
  assert isinstance(dataset.train["image"], np.memmap)
  assert dataset.shards == (tuple(np.bincount(train // 24).tolist()), 7, 3)
  assert from_shards(birds, buffer=0).shards is None


def test_it_is_read_once_and_then_from_the_cache(birds, monkeypatch):
  first = from_shards(birds, kinds={"size": "number"})
  monkeypatch.setattr("tfdisent.data.shards.examples_of", None)  # would be called
  again = from_shards(birds, kinds={"size": "number"}, size=8, channels=3)
  assert again.fingerprint == first.fingerprint and again.columns == first.columns and again.shards == first.shards
  assert (again.name, again.warnings) == (first.name, first.warnings)


def test_more_shards_than_files_may_be_open(tmp_path):
  _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
  limit = len(os.listdir("/proc/self/fd")) + 40
  for shard in range(80):
    write_tar(tmp_path / "birds" / f"birds-{shard}.tar", example(shard))
  before = resource.getrlimit(resource.RLIMIT_NOFILE)
  resource.setrlimit(resource.RLIMIT_NOFILE, (limit, most))
  try:
    dataset = from_shards(tmp_path / "birds", size=8, channels=3)
  finally:
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 80


def test_another_shard_is_another_set(birds):
  before = from_shards(birds)
  write_tar(birds / "birds-5.tar", [member for i in range(120, 130) for member in example(i)])
  after = from_shards(birds)
  assert len(after.train["image"]) > len(before.train["image"]) and after.name != before.name


def test_names_of_shards_tell_the_splits(tmp_path):
  for split, low in (("train", 0), ("val", 60), ("test", 80)):
    write_tar(tmp_path / f"birds-{split}-0001.tar", [member for i in range(low, low + 20) for member in example(i)])
  write_tar(tmp_path / "more" / "x.tar", [member for i in range(20, 60) for member in example(i)])
  dataset = from_shards(tmp_path, probe_fraction=0.1)
  assert set(numbers_of(dataset.validation)) == {*range(60, 80)} and set(numbers_of(dataset.test)) == {*range(80, 100)}
  assert {*numbers_of(dataset.train)} | {*numbers_of(dataset.probe)} == {*range(60)}


@pytest.mark.parametrize(
  ("name", "split"),
  [
    ("imagenet-train-{000}.tar", "train"),
    ("Valid_01.tar", "validation"),
    ("mnist-test.tfrecord-00000-of-00001", "test"),
    ("constraint-1.tar", None),
  ],
)
def test_a_split_is_a_word_of_the_name(tmp_path, name, split):
  assert split_of(tmp_path / "all" / name, tmp_path) == split
  assert split_of(tmp_path / "dev" / "000.tar", tmp_path) == "validation"
  assert split_of(tmp_path / "dev" / "000.tar", tmp_path / "dev") is None


def test_shards_are_in_natural_order_and_hidden_ones_left_out(tmp_path):
  for name in ("a-10.tar", "a-2.tar", ".a-1.tar", "b.txt", "c.tfrecord-00000-of-00001", "in/a-1.tar", ".in/a-1.tar"):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
  found = [str(path.relative_to(tmp_path)) for path in shards_in(tmp_path)]
  assert found == ["a-2.tar", "a-10.tar", "c.tfrecord-00000-of-00001", "in/a-1.tar"]


def test_folders_that_may_not_be_read_hold_no_shards(birds, monkeypatch):
  """A mount point has `lost+found`."""
  (birds / "lost+found").mkdir()
  iterdir = pathlib.Path.iterdir

  def refuse(path):
    if path.name == "lost+found":
      raise PermissionError(13, "Permission denied", str(path))
    return iterdir(path)

  monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
  assert plan.source(str(birds))[0] == "shards" and len(shards_in(birds)) == 5


def test_of_very_many_images_the_splits_are_a_plain_draw(birds, monkeypatch):
  monkeypatch.setattr("tfdisent.data.shards.MOST_STRATIFIED", 100)
  dataset = from_shards(birds, test_fraction=0.3)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [80, 2, 2, 36]
  assert len(set(np.concatenate([numbers_of(dataset[split]) for split in SPLITS]))) == 120


# --- TFRecord ---


def feature(value):
  if isinstance(value, bytes):
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
  if isinstance(value, float):
    return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
  return tf.train.Feature(int64_list=tf.train.Int64List(value=value if isinstance(value, list) else [value]))


def write_records(path, rows):
  with tf.io.TFRecordWriter(str(path)) as writer:
    for row in rows:
      features = {name: feature(value) for name, value in row.items()}
      writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_records_as_tfds_writes_them(tmp_path):
  for shard in range(3):
    rows = [
      {"image": png(i), "label": i % 4, "box/area": i / 7, "name": f"n{i}".encode(), "many": [1, 2]}
      for i in range(40 * shard, 40 * shard + 40)
    ]
    write_records(tmp_path / f"birds-train.tfrecord-0000{shard}-of-00003", rows)
  (tmp_path / "label.labels.txt").write_text("owl\nemu\njay\nauk\n")
  dataset = from_shards(tmp_path)
  assert dataset.class_names == {"label": ("auk", "emu", "jay", "owl")}
  for split in SPLITS:
    numbers = numbers_of(dataset[split])
    np.testing.assert_allclose(dataset[split]["box_area"], numbers / 7, rtol=1e-6)
    names = np.array(dataset.class_names["label"])[dataset[split]["label"]]
    np.testing.assert_array_equal(names, np.array(["owl", "emu", "jay", "auk"])[numbers % 4])
  assert [*dataset.columns] == ["box_area", "label"]


def test_names_of_classes_are_read_anew_and_there_must_be_enough(tmp_path):
  write_records(tmp_path / "a.tfrecord", [{"image": png(i), "label": i % 3} for i in range(60)])
  names = tmp_path / "label.labels.txt"
  for text, expected in (("owl\nemu\njay\n\n\n", "emu jay owl"), ("owl\n\njay", "1 jay owl"), ("a\nb\nc\n", "a b c")):
    names.write_text(text)
    dataset = from_shards(tmp_path)
    assert dataset.class_names["label"] == tuple(expected.split())
    label = np.array(dataset.class_names["label"])[dataset.train["label"]]
    lines = np.array([line or str(number) for number, line in enumerate(text.split("\n"))])
    np.testing.assert_array_equal(label, lines[numbers_of(dataset.train) % 3])
  names.write_text("owl\nemu\n")
  words = r"label.labels.txt has the names of 2 classes, and label is 2 in record 2 of a.tfrecord: write a line"
  with pytest.raises(DataError, match=words):
    from_shards(tmp_path)


@pytest.mark.long
def test_mnist_as_tfds_has_prepared_it(mnist_dir):
  dataset = shards(str(mnist_dir / "mnist"), columns=("label",), size=28)
  assert dataset.image_shape == (28, 28, 1) and len(dataset.test["image"]) == 10_000
  assert len(dataset.train["image"]) + len(dataset.probe["image"]) + len(dataset.validation["image"]) == 60_000
  assert dataset.columns["label"].class_names == tuple("0123456789")


# --- What is refused ---


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"buffer": -1}, "shards.buffer = -1 must be a whole number of at least 0"),
    ({"readers": 0}, "shards.readers = 0 must be a whole number of at least 1"),
    ({"columns": ("wings",)}, r"no column 'wings' \(shards.columns\) to keep: there are label, size, tone"),
    ({"judged": ("wings",)}, "no column 'wings'"),
    ({"test_fraction": 0.99}, "below 1 together"),
  ],
)
def test_arguments_out_of_range_are_refused(birds, arguments, message):
  with pytest.raises(ConfigError, match=message):
    from_shards(birds, **arguments)


def test_a_folder_without_shards_is_refused(tmp_path):
  with pytest.raises(DataError, match=r"has no shards: .* wants files .tar or .tfrecord"):
    from_shards(tmp_path)
  write_tar(tmp_path / "a.tar", [("1.txt", b"no image")])
  with pytest.raises(DataError, match=r"there are no images in .*a.tar, nor in the other 0 shards"):
    from_shards(tmp_path, size=8)


@pytest.mark.parametrize("name", ["x.tar.gz", "y.tar"])
def test_a_compressed_tar_is_refused_in_words(birds, name):
  (birds / name).write_bytes(gzip.compress((birds / "birds-0.tar").read_bytes()))
  with pytest.raises(DataError, match=f"shard .*{name} cannot be read .* not compressed"):
    from_shards(birds, size=8, channels=3)


def test_a_torn_shard_is_refused(birds, tmp_path):
  whole = (birds / "birds-3.tar").read_bytes()
  (birds / "birds-3.tar").write_bytes(whole[: len(whole) // 2])
  with pytest.raises(DataError, match=r"birds-3.tar"):
    from_shards(birds, size=8, channels=3)
  folder = tmp_path / "records"
  folder.mkdir()
  write_records(folder / "a.tfrecord", [{"image": png(i), "label": i % 2} for i in range(50)])
  (folder / "a.tfrecord").write_bytes((folder / "a.tfrecord").read_bytes()[:-20])
  with pytest.raises(DataError, match=r"a.tfrecord cannot be read after \d+ records"):
    from_shards(folder, size=8)


def test_several_images_of_an_example_must_be_chosen(tmp_path):
  members = [(f"{i:03}.{name}.png", png(i + add)) for i in range(60) for name, add in (("back", 0), ("front", 100))]
  write_tar(tmp_path / "a.tar", members)
  with pytest.raises(DataError, match=r"000 of .* several images .* shards.image = 'back.png'"):
    from_shards(tmp_path)
  assert min(numbers_of(from_shards(tmp_path, image="front.png").train)) >= 100
  records = tmp_path / "records"
  records.mkdir()
  write_records(records / "a.tfrecord", [{"left": png(i), "right": png(i + 100)} for i in range(60)])
  with pytest.raises(DataError, match=r"several \(left, right\).*shards.image names"):
    from_shards(records)
  assert min(numbers_of(from_shards(records, image="right").train)) >= 100


def test_a_broken_image_is_named_or_skipped(birds):
  write_tar(birds / "birds-9.tar", [("bad.png", b"\x89PNG and no more"), ("bad.cls", b"1"), *example(200)])
  with pytest.raises(DataError, match=r"bad of birds-9.tar cannot be read as an image"):
    from_shards(birds)
  dataset = from_shards(birds, broken="skip", columns=("label",))
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 121
  assert any("1 of 122 images cannot be read" in warning for warning in dataset.warnings)
  assert sum(dataset.shards.sizes) == len(dataset.train["image"])
  for split in SPLITS:
    np.testing.assert_array_equal(dataset[split]["label"], numbers_of(dataset[split]) % 3)


def test_a_bad_object_is_named(tmp_path):
  write_tar(tmp_path / "a.tar", [("7.png", png(7)), ("7.json", b"{")])
  with pytest.raises(DataError, match=r"7.json of .*a.tar cannot be read"):
    from_shards(tmp_path, size=8)


def test_records_of_another_kind_are_refused(tmp_path):
  with tf.io.TFRecordWriter(str(tmp_path / "a.tfrecord")) as writer:
    writer.write(b"\xff\xff no example")
  with pytest.raises(DataError, match=r"a record of .* is no tf.train.Example"):
    from_shards(tmp_path)


def test_splits_without_one_to_train_on_are_refused(tmp_path):
  write_tar(tmp_path / "val-0.tar", [member for i in range(40) for member in example(i)])
  with pytest.raises(DataError, match="the shards are of validation by their names, and none is of train"):
    from_shards(tmp_path)


# --- The one command ---


def test_a_folder_of_shards_needs_no_configuration(birds):
  name, lines = plan.source(str(birds), ("size:number",))
  assert name == "shards"
  assert lines == [
    "import tfdisent.data.shards",
    "train.dataset = 'shards'",
    f"train.data_dir = {str(birds)!r}",
    "shards.kinds = ('size:number',)",
  ]
  made = plan.make(from_shards(birds), name, ("label",))
  assert (
    "shards.judged = ('label', 'size', 'tone')" in made.bindings or "shards.judged = ('label', 'tone')" in made.bindings
  )


def test_images_in_folders_are_meant_where_there_are_some(birds, tmp_path):
  (birds / "cat").mkdir()
  (birds / "cat" / "1.png").write_bytes(png(1))
  assert plan.source(str(birds))[0] == "folder"
  (birds / "dataset_info.json").write_text("{}")
  (birds / "cat" / "1.png").unlink()
  assert plan.source(str(birds))[0] == "shards"
  (birds / "table.csv").write_text("file,age\n")
  assert plan.source(str(birds))[0] == "table"
  assert tfdisent.data.from_shards is from_shards


# --- A million ---

SOAK = """
import resource, sys, time
import numpy as np
import tensorflow as tf
from tfdisent.data.batches import training_batches
from tfdisent.data.shards import from_shards
count = int(sys.argv[1])
start = time.perf_counter()
data = from_shards("SHARDS", broken="refuse")
print(f"prepared in {time.perf_counter() - start:.0f} s", flush=True)
start = time.perf_counter()
data = from_shards("SHARDS", broken="refuse")
print(f"opened in {time.perf_counter() - start:.1f} s", flush=True)
label = np.eye(10, dtype=np.float32)[data.train["label"]]
resident = lambda: int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 1e6
steps, memory, seen = len(label) // 128, [], np.zeros(count, np.uint8)
start = time.perf_counter()
for step, batch in enumerate(training_batches(data.train, label, 128, seed=0, shards=data.shards).take(steps)):
  image = batch["image"].numpy()[:, 0, :20:4].astype(int)
  number = image[:, :, 0] // 25 @ 10 ** np.arange(5) + 100_000 * (image[:, 0, 1] // 25)
  seen[number] += 1
  assert (batch["feature"].numpy().argmax(1) == number % 10).all()
  if step % (steps // 50) == 0:
    memory.append(resident())
seconds = time.perf_counter() - start
assert seen.max() == 1 and seen.sum() == 128 * steps
print(f"{128 * steps} images in {seconds:.0f} s: {128 * steps / seconds:.0f} images/s")
print("MB:", " ".join(f"{size:.0f}" for size in memory))
assert max(memory[10:]) < 1.02 * memory[9], memory
"""


def soak(folder, count, of_shard=10_000) -> str:
  """What `SOAK` prints of so many images, each of which tells its number."""
  (folder / "shards").mkdir()
  for first in range(0, count, of_shard):
    members = []
    for number in range(first, first + of_shard):
      digits = [number // 10**place % 10 * 25 for place in range(6)]
      image = np.random.default_rng(number).integers(256, size=(7, 7, 3), dtype=np.uint8)
      image[0, :5, 0], image[0, 0, 1] = digits[:5], digits[5]
      file = io.BytesIO()
      PIL.Image.fromarray(image.repeat(4, 0).repeat(4, 1)).save(file, "png", compress_level=1)
      members += [(f"{number:07}.png", file.getvalue()), (f"{number:07}.cls", str(number % 10).encode())]
    write_tar(folder / "shards" / f"{first:07}.tar", members)
  returned, printed = Fork(SOAK.replace("SHARDS", str(folder / "shards")), str(count)).end(3600)
  assert returned == 0, printed
  return printed


@pytest.mark.long
def test_a_million_images_are_read_once_each_and_memory_stays_flat(tmp_path):
  print(soak(tmp_path, 1_000_000))

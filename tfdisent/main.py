"""tfdisent: train a VAE whose z2 alone decides a feature f(x) that you choose, look at it, and use it.

  Train on your own images: in a folder for each class, or beside a table that names them (photos/table.csv), whose
  columns are then the features; no configuration is needed. --describe says what is found, and trains nothing:
    tfdisent --data_dir=photos --describe
    tfdisent --data_dir=photos --run_dir=runs/photos
    tfdisent --data_dir=photos --feature=smile,age,hair_colour --run_dir=runs/faces
  The kind of a column is found, or said: --feature=age:category,azimuth:angle=360.

  Train on digits that come with the installation, with progress; interrupted, the same command goes on:
    tfdisent --gin_file=gin_configs/quickstart.gin --run_dir=runs/quickstart

  Train on the full MNIST, read from TFDS's folder, with one binding changed:
    tfdisent --gin_file=gin_configs/color_mnist_digit.gin --data_dir=~/tensorflow_datasets \\
      --run_dir=runs/digit --gin_param='objective.lambda3 = 20'

  Fit a feature that is learned (features/pose.py has some), then train with it:
    tfdisent --mode=fit_feature --gin_file=gin_configs/color_mnist_rotation.gin --run_dir=runs/rotation_f
    tfdisent --gin_file=gin_configs/color_mnist_rotation.gin --run_dir=runs/rotation \
      --gin_param="rotation.fitted = 'runs/rotation_f'"

  Train on all GPUs of this host, or on the hosts that TF_CONFIG lists (the same command on each; see README.md):
    tfdisent --strategy=mirrored --gin_file=gin_configs/color_mnist_digit.gin --run_dir=runs/digit

  Measure a finished run, on the validation split for choices (metrics_validation.json), on the test split for figures
  to publish (metrics.json, report.html); the run folder is enough:
    tfdisent --mode=eval --split=validation --run_dir=runs/digit
    tfdisent --mode=eval --run_dir=runs/digit

  Where z1 still tells the feature, take out what a linear reader finds, into the run folder RUN_DIR/erased:
    tfdisent --mode=erase --run_dir=runs/faces
    tfdisent --mode=eval --split=validation --run_dir=runs/faces/erased

  Draw new images (samples.png), or change one feature of some images while all else stays: each feature of another
  image in turn (swap.png), its whole range (strip.png), those of all others (grid.png), or slowly (morph_hair.png):
    tfdisent --mode=sample --run_dir=runs/digit --seed=7
    tfdisent --mode=sample --run_dir=runs/faces --what=swap
    tfdisent --mode=sample --run_dir=runs/faces --what=strip --feature=smile,age
    tfdisent --mode=sample --run_dir=runs/faces --what=grid --feature=hair --data_dir=photos
    tfdisent --mode=sample --run_dir=runs/faces --what=morph --feature=hair

  Put measured runs side by side; runs that differ in their seed alone share a line, with an interval:
    tfdisent --mode=compare --run_dirs=runs/digit-0,runs/digit-1,runs/paper

  Train and measure every combination of some settings (sweep.grid), one after the other; interrupted, it goes on:
    tfdisent --mode=sweep --gin_file=gin_configs/sweeps/digit_leakage.gin --run_dir=runs/leakage

  Write a SavedModel for TensorFlow Serving into RUN_DIR/export/digit/1, then 2, …; or digit.tflite for a phone:
    tfdisent --mode=export --run_dir=runs/digit
    tfdisent --mode=export --run_dir=runs/digit --export_format=litert

  Turn the features by hand, in the browser (pip install 'tfdisent[demo]'); of the models of the package, or of a run:
    tfdisent --mode=demo
    tfdisent --mode=demo --run_dir=runs/digit

  Time the training step of the reference networks, or what was exported of a run; prints one JSON line:
    tfdisent --mode=bench --gin_param="bench.precision = 'mixed_bfloat16'"
    tfdisent --mode=bench --run_dir=runs/digit

Prepared images and judges are kept in $TFDISENT_CACHE (~/.cache/tfdisent), at most $TFDISENT_CACHE_GB (20) of them;
that folder may be emptied at any time.

A feature of your own: write a module that registers it, in the current folder or in an installed package, and name it
here or in a gin file (`import my_package.my_feature`, `train.feature = 'my_feature'`). See README.md.
  tfdisent --data_dir=photos --feature=my_feature --gin_param='import my_package.my_feature' --run_dir=runs/mine
"""

import atexit
import contextlib
import io
import os
import signal
import sys

from absl import app, logging
from absl.flags import FLAGS, Error

from tfdisent import flags, modes
from tfdisent.console import say
from tfdisent.errors import ConfigError, Interrupted, TfdisentError
from tfdisent.hardware import keep_freed_memory


def main(arguments):
  """Does what --mode asks for; prints the message of a `TfdisentError` and exits with 1, after Ctrl-C with 130."""
  if not FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # TensorFlow logs a line of INFO for each checkpoint
  try:
    if len(arguments) > 1:
      raise ConfigError(
        f"unexpected argument '{arguments[1]}': every argument is a flag, as in --gin_file={arguments[1]}."
      )
    {
      "train": modes.train,
      "fit_feature": modes.fit_feature,
      "eval": modes.evaluate,
      "erase": modes.erase,
      "compare": modes.compare,
      "sweep": modes.sweep,
      "export": modes.export,
      "sample": modes.sample,
      "demo": modes.demo,
      "bench": modes.bench,
    }[flags.MODE.value]()
    _flush()
  except Interrupted as note:
    say(f"tfdisent: {note}")
    _stopped_with.append(0)
  except TfdisentError as error:
    print(f"tfdisent: error: {error}", file=sys.stderr)
    sys.exit(1)
  except BrokenPipeError:  # who read the output has ended, as `head` does
    _flush()
    sys.exit(128 + signal.SIGPIPE)
  except KeyboardInterrupt:  # outside of the steps of a training, or the second one within them
    goes_on = " The same command goes on from the last checkpoint." if flags.MODE.value == "train" else ""
    print(f"tfdisent: stopped at once.{goes_on}", file=sys.stderr)
    _stopped_with.append(128 + signal.SIGINT)
    sys.exit(128 + signal.SIGINT)


def run():
  """The console script. Its flags are the key flags of `--help`, and its help is this module's."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes
  keep_freed_memory()
  sys.path.append("")  # a plug-in in the current folder is found, after what is installed
  sys.modules["__main__"].__doc__ = __doc__
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="replace")  # a terminal may be unable to show "…" or x̂
  for flag in FLAGS.get_key_flags_for_module(flags):
    FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  try:
    app.run(main, flags_parser=_parsed)
  finally:
    if _stopped_with and "TF_CONFIG" not in os.environ:  # workers take leave of one another
      _end_at_once(*_stopped_with)


def _flush() -> None:
  """Writes what is left to be printed; if nobody reads it any more, nowhere, since Python complains as it ends."""
  try:
    sys.stdout.flush()
  except OSError:
    with contextlib.suppress(OSError, ValueError):  # stdout may be no file
      os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


_stopped_with: list[int] = []
"""The exit code of a command that was asked to stop."""


def _end_at_once(code: int) -> None:
  """Ends the process without taking TensorFlow's objects apart, for which a busy machine takes 20 seconds."""
  atexit._run_exitfuncs()
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):  # the terminal is gone
      stream.flush()
  os._exit(code)


def _parsed(arguments) -> list[str]:
  """The arguments that are no flags; a wrong flag ends the command with a line."""
  try:
    return FLAGS(arguments)
  except Error as error:
    print(f"tfdisent: error: {' '.join(str(error).split())} `tfdisent --help` lists all flags.", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
  run()

"""Exporters as plug-ins: what each must keep, those that come along, and one of a user."""

import json
import uuid

import pytest
import tensorflow as tf

from tfdisent import serving
from tfdisent.errors import ConfigError, RegistryError
from tfdisent.registry import EXPORTERS
from tfdisent.run import replace
from tfdisent.serving import litert, saved_model
from tfdisent.serving.signatures import ServedModel
from tfdisent.testing import check_exporter


@pytest.mark.parametrize("exporter", [saved_model.export, litert.export], ids=["saved_model", "litert"])
def test_the_formats_that_come_along_keep_the_contract(exporter, digit_run, tmp_path, monkeypatch):
  """Of a signature that is quick to write."""
  image = tf.TensorSpec([None, 28, 28, 3], tf.uint8, name="image")
  function = tf.function(lambda image: {"image": image}, input_signature=[image]).get_concrete_function()
  monkeypatch.setattr(ServedModel, "signatures", lambda self, names=None: {"encode": function})
  check_exporter(exporter, digit_run.trained, tmp_path / "new" / "digit")


# --- What is found ----------------------------------------------------------------------------------------------------


def good(trained, folder, config=""):
  """One file, replaced whole."""
  content = bytes([trained.model.z1_width])
  folder.parent.mkdir(parents=True, exist_ok=True)
  replace(folder.with_suffix(".bin"), content)
  return folder.with_suffix(".bin")


def versioned(trained, folder, config=""):
  """A folder for each version."""
  content, path = bytes([trained.model.z1_width]), folder / str(len(list(folder.glob("*"))))
  path.mkdir(parents=True)
  (path / "model").write_bytes(content)
  return path


@pytest.mark.parametrize("exporter", [good, versioned])
def test_a_good_exporter_passes_twice(exporter, digit_run, tmp_path):
  for _ in range(2):
    check_exporter(exporter, digit_run.trained, tmp_path / "new" / "digit")


def takes_no_config(trained, folder):
  return good(trained, folder)


def takes_other_names(model, path, config=""):
  return good(model, path)


def returns_a_text(trained, folder, config=""):
  return str(good(trained, folder))


def returns_what_is_not_there(trained, folder, config=""):
  return folder / "nothing"


def writes_elsewhere(trained, folder, config=""):
  return good(trained, folder.parent.parent / "digit")


def writes_nothing(trained, folder, config=""):
  path = good(trained, folder)
  replace(path, b"")
  return path


def leaves_half(trained, folder, config=""):
  (good(trained, folder).parent / "digit.bin.tmp").write_bytes(b"half")
  return good(trained, folder)


def leaves_more_each_time(trained, folder, config=""):
  (good(trained, folder).parent / uuid.uuid4().hex).write_bytes(b"more")
  return good(trained, folder)


def writes_in_place(trained, folder, config=""):
  path = good(trained, folder) if not folder.with_suffix(".bin").exists() else folder.with_suffix(".bin")
  path.write_bytes(bytes([trained.model.z1_width]))
  return path


def keeps_one_version(trained, folder, config=""):
  path = versioned(trained, folder)
  for other in set(folder.glob("*/model")) - {path / "model"}:
    other.unlink()
  return path


def changes_weights(trained, folder, config=""):
  trained.model.G.set_weights([weight + 1 for weight in trained.model.G.get_weights()])
  return good(trained, folder)


def hides_errors(trained, folder, config=""):
  try:
    return good(trained, folder)
  except Exception:
    return folder.with_suffix(".bin")


def writes_before_it_converts(trained, folder, config=""):
  folder.parent.mkdir(parents=True, exist_ok=True)
  lock = folder.parent / "lock"
  lock.write_text("")
  path = good(trained, folder)
  lock.unlink()
  return path


def removes_before_it_converts(trained, folder, config=""):
  folder.with_suffix(".bin").unlink(missing_ok=True)
  return good(trained, folder)


@pytest.mark.parametrize(
  ("exporter", "words"),
  [
    (takes_no_config, r'must take \(trained, folder, config=""\): .*config'),
    (takes_other_names, r'must take \(trained, folder, config=""\): .*model'),
    (returns_a_text, "returns '.*digit.bin': it must return the pathlib.Path"),
    (returns_what_is_not_there, "returns .*nothing.*: it must return the pathlib.Path"),
    (writes_elsewhere, "writes to .*: it must write inside of .*new"),
    (writes_nothing, "returns .*digit.bin, which is empty"),
    (leaves_half, "leaves .*digit.bin.tmp half written"),
    (leaves_more_each_time, "leaves .* behind at each export"),
    (writes_in_place, "writes into .*digit.bin"),
    (keeps_one_version, "removes .*digit/0/model"),
    (changes_weights, "changes the weights"),
    (hides_errors, "returns though the model could not be read"),
    (writes_before_it_converts, "leaves .*lock behind when it fails"),
    (removes_before_it_converts, "removes .*digit.bin, which may be in use"),
  ],
)
def test_what_is_wrong_with_an_exporter_is_named(exporter, words, digit_run, tmp_path):
  G = digit_run.trained.model.G
  weights = G.get_weights()
  try:
    with pytest.raises(ConfigError, match=f"^exporter {exporter.__name__} {words}"):
      check_exporter(exporter, digit_run.trained, tmp_path / "new" / "digit")
  finally:
    G.set_weights(weights)


# --- A format of a user -----------------------------------------------------------------------------------------------

SHAPES = """
import json
import tfdisent
from tfdisent.run import replace

@tfdisent.register_exporter("shapes_of_this_test")
def export(trained, folder, config="", of="G"):
  path = folder.with_name(f"{folder.name}.json")
  shapes = [weight.shape for weight in trained.model.networks[of].get_weights()]
  path.parent.mkdir(parents=True, exist_ok=True)
  replace(path, json.dumps({"shapes": shapes, "config": config}).encode())
  return path
"""


def test_a_format_of_a_user_is_named_on_the_command_line_and_in_python(digit_run, tfdisent, tmp_path, monkeypatch):
  (tmp_path / "my_formats").mkdir()
  (tmp_path / "my_formats" / "shapes.py").write_text(SHAPES)
  monkeypatch.syspath_prepend(tmp_path)
  command = ("--mode=export", f"--run_dir={digit_run.folder}", f"--export_dir={tmp_path / 'export'}")
  name = "--export_format=shapes_of_this_test"
  with EXPORTERS.temporary():
    code, _, err = tfdisent(*command, name)
    assert code == 1 and "unknown export format 'shapes_of_this_test'. " in err and "litert, saved_model" in err
    assert not (tmp_path / "export").exists()
    bindings = ("--gin_param=import my_formats.shapes", "--gin_param=shapes_of_this_test.of = 'E1'")
    code, out, _ = tfdisent(*command, name, "--model_name=few", *bindings)
    path = tmp_path / "export" / "few.json"
    assert (code, out) == (0, f"shapes_of_this_test: {path}\n")
    networks, config = digit_run.trained.model.networks, (digit_run.folder / "config.gin").read_text()
    expected = {of: [list(weight.shape) for weight in networks[of].get_weights()] for of in ("E1", "G")}
    assert json.loads(path.read_text()) == {"shapes": expected["E1"], "config": config}
    path = serving.export(digit_run.trained, str(tmp_path / "export" / "digit"), "shapes_of_this_test")
    assert path == tmp_path / "export" / "digit.json"
    assert json.loads(path.read_text()) == {"shapes": expected["G"], "config": ""}
    check_exporter(EXPORTERS["shapes_of_this_test"], digit_run.trained, tmp_path / "export" / "digit")


def test_a_format_that_is_unknown_is_named(digit_run, tmp_path):
  with pytest.raises(RegistryError, match=r"unknown export format 'lite_rt'\. Did you mean 'litert'"):
    serving.export(digit_run.trained, tmp_path / "digit", "lite_rt")
  assert not list(tmp_path.iterdir())


def test_the_saved_model_is_the_format_where_none_is_named(digit_run, tmp_path, monkeypatch):
  monkeypatch.setattr(EXPORTERS, "create", lambda name, **arguments: (name, arguments))
  name, arguments = serving.export(digit_run.trained, str(tmp_path))
  assert (name, arguments) == ("saved_model", {"trained": digit_run.trained, "folder": tmp_path, "config": ""})
  assert EXPORTERS["saved_model"] is saved_model.export and EXPORTERS["litert"] is litert.export

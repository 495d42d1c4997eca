"""Some seconds of `tests.fuzz`, with the same values each time. `python -m tests.fuzz --minutes 60` takes others."""

import pytest

from tests import fuzz


@pytest.fixture(scope="module")
def every(tmp_path_factory):
  """All arguments; "." and "~", which are tried as folders of images, are small."""
  folder = tmp_path_factory.mktemp("fuzz")
  with pytest.MonkeyPatch.context() as patch:
    patch.chdir(folder)
    patch.setenv("HOME", str(folder))
    yield list(fuzz.pairs(folder / "data"))


def test_every_argument_is_taken_or_refused_in_words(every):
  tried, found = 0, []
  for target, name in every:
    count, fault = fuzz.search(target, name, 2 if target.is_slow else 4)
    tried += count
    found += [f"{target.who}.{name} = {fault[0]!r}: {fault[1]}"] if fault else []
  assert not found, "\n".join(found)
  assert tried > 700


def test_the_fuzzer_sees_a_traceback_and_a_message_without_a_name():
  def broken(size: int = 3):
    return [][size]

  def silent(size: int = 3):
    raise fuzz.TfdisentError("something is wrong.")

  def deaf(size: int = 3):
    pass

  assert "IndexError" in fuzz.search(fuzz.Target("broken", broken), "size", 5)[1][1]
  assert "neither the name" in fuzz.search(fuzz.Target("silent", silent), "size", 5)[1][1]
  assert "it is taken" in fuzz.search(fuzz.Target("deaf", deaf, is_dear=True), "size", 5)[1][1]

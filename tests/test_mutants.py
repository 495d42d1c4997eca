"""The mutation runner, on a toy library: what it mutates, which tests it runs, and what it says of them."""

import collections
import json
import os
import random
import subprocess
import sys

import pytest

from . import mutants

TOY = '''
"""A toy."""

import json

__all__ = ["double", "count", "idle"]

FACTOR: int = 2


def double(x: float) -> float:
  """Doubles."""
  return FACTOR * x


def positive(x):
  return x > 0


def count(n):
  i = 0
  while i < n:
    i += 1
  return i


def idle(x):
  if x > 3:
    raise ValueError("more than %d" % 3)
  return open(x, encoding="utf-8").prefetch(9)
'''
TESTS = """
from tfdisent import toy
from tfdisent.toy import count

doubled = []

def test_double():
  doubled.append(toy.double(2))
  assert doubled == [4]

def test_positive():
  assert toy.positive(1) and not toy.positive(-1)

def test_count():
  assert count(3) == 3

def test_that_needs_another():
  assert doubled and toy.positive(1)

def test_that_fails():
  assert toy.positive(0)
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
  """A library of one module and its tests."""
  root = tmp_path_factory.mktemp("toy") / "root"
  files = {
    "tfdisent/__init__.py": "",
    "tfdisent/toy.py": TOY,
    "features/__init__.py": "",
    "features/other.py": "def add(x, y):\n  z = 2 * x\n  return z + y - 1\n",
    "tests/__init__.py": "",
    "tests/test_toy.py": TESTS,
  }
  for name, text in files.items():
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
  return root


def mutant(before: str, after: str) -> mutants.Mutant:
  assert TOY.count(before) == 1
  line = TOY[: TOY.index(before)].count("\n") + 1
  return mutants.Mutant("tfdisent/toy.py", line, line, TOY.replace(before, after), f"-{before}\n+{after}")


def test_nothing_that_does_not_run_is_mutated(toy):
  found = [m for seed in range(8) for m in mutants.mutants(toy, "tfdisent/toy.py", random.Random(seed))]
  changes = {tuple(line for line in m.diff.split("\n") if line.startswith(("-  ", "+  ", "-F", "+F"))) for m in found}
  assert {line[0][1:].strip() for line in changes} == {
    "FACTOR: int = 2", "return FACTOR * x", "return x > 0", "i = 0", "while i < n:", "i += 1", "if x > 3:",
    'raise ValueError("more than %d" % 3)', 'return open(x, encoding="utf-8").prefetch(9)',
  }  # fmt: skip
  assert ("-    i += 1", "+    i -= 1") in changes and ("-  return x > 0", "+  return x >= 0") in changes
  assert ("-FACTOR: int = 2", "+FACTOR: int = 3") in changes
  of_messages = {after for before, after in changes if "raise" in before or "open" in before}
  assert of_messages == {"+    raise ValueError(None)", '+  return open(None, encoding="utf-8").prefetch(9)',
                         '+  return open(encoding="utf-8").prefetch(9)'}  # fmt: skip


def test_a_mutant_names_the_lines_of_its_statement(toy):
  lines = TOY.split("\n")
  for found in mutants.mutants(toy, "tfdisent/toy.py", random.Random(0)):
    before = next(line[1:] for line in found.diff.split("\n")[3:] if line.startswith("-"))
    assert lines[found.first - 1 : found.last] == [before]


def test_a_draw_is_even_from_its_first_mutant_on_and_its_seed_repeats_it(toy):
  groups = {"toy": ["tfdisent/toy.py"], "package": ["features/other.py"]}

  def drawn(seed, count):
    return [(name, m.key) for name, m in mutants.draw(toy, seed, count, groups)]

  first = drawn(1, 6)
  assert [name for name, _ in first] == ["toy", "package"] * 3
  assert len(set(first)) == 6
  assert drawn(1, 6) == first and drawn(1, 4) == first[:4] and drawn(2, 6) != first
  everything = collections.Counter(name for name, _ in drawn(1, 1000))  # a group with no more of them is left out
  assert everything["toy"] > everything["package"] > 1


def test_every_module_of_the_library_is_in_one_group():
  groups = mutants.groups_of(mutants.ROOT)
  files = [mutants.ROOT / file for group in groups.values() for file in group]
  there = [path for name in ("tfdisent", "features") for path in (mutants.ROOT / name).rglob("*.py")]
  assert sorted(files) == sorted(there)
  assert groups["losses"] == ["tfdisent/losses.py"] and "tfdisent/paths.py" in groups["small modules"]
  assert {"api", "data", "demo", "evaluation", "features"} <= groups.keys()
  assert "tfdisent/pictures/sheet.py" in groups["pictures"]


def test_names_are_of_the_innermost_function_with_its_decorators():
  source = (
    "x = 1\n\nclass A:\n  y = 2\n\n  @property\n  def f(\n    self\n  ):\n    def g():\n      pass\n    return g\n"
  )
  assert mutants.qualified_names(source) == ["", "", *["A"] * 3, *["A.f"] * 4, *["A.f.g"] * 2, "A.f", ""]


@pytest.fixture(scope="module")
def judged(toy):
  """What a run in a process of its own says of mutants, where one before was cut after the first; and its summary."""
  drawn = {
    "judged before": mutant("return i", "return i + 1"),
    "wrong": mutant("return FACTOR * x", "return FACTOR * x + 1"),
    "not seen": mutant("return x > 0", "return x >= 0"),
    "endless": mutant("    i += 1", "    i -= 1"),
    "not reached": mutant("if x > 3", "if x > 4"),
    "outside of functions": mutant("FACTOR: int = 2", "FACTOR: int = 3"),
    "breaks the import": mutant("import json", "import no_such_module"),
  }
  results = toy.parent / "results.jsonl"
  before = {
    "key": drawn["judged before"].key,
    "group": "toy",
    "outcome": "survived",
    "diff": "",
    "clock": 0,
    "test": None,
  }
  results.write_text(json.dumps(before) + '\n{"key": "cut o', encoding="utf-8")
  code = f"""
import pathlib
from tests import mutants
from tests.mutants import Mutant
mutants.MARGIN = 1
root = pathlib.Path({str(toy)!r})
bench = mutants.Bench(root, root.parent / "kept", limit=10)
bench.survey()
print(mutants.run(bench, [("toy", m) for m in {list(drawn.values())!r}], pathlib.Path({str(results)!r})))
"""
  environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # pytest starts a dozen times
  done = subprocess.run(
    [sys.executable, "-c", code], cwd=mutants.ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True
  )
  lines = results.read_text(encoding="utf-8").split("\n")
  assert len(lines) == 2 + 6  # the one from before was not judged again
  verdicts = {line["key"]: line for line in map(json.loads, lines[:1] + lines[2:])}
  return {name: verdicts[m.key] for name, m in drawn.items()}, done.stdout


def outcome(verdict: dict) -> tuple:
  return verdict["outcome"], verdict["test"] and verdict["test"].removeprefix("tests/test_toy.py::")


def test_a_mutant_is_caught_by_the_test_that_reaches_it(judged):
  verdicts, _ = judged
  assert outcome(verdicts["wrong"]) == ("caught", "test_double")
  assert verdicts["wrong"]["tests"] == 1 and "assert [5] == [4]" in verdicts["wrong"]["why"]
  assert outcome(verdicts["outside of functions"]) == ("caught", "test_double")
  assert outcome(verdicts["breaks the import"]) == ("caught", None)
  assert "no_such_module" in verdicts["breaks the import"]["why"]


def test_an_endless_loop_is_caught(judged):
  assert outcome(judged[0]["endless"]) == ("timeout", "test_count")


def test_what_no_test_sees_survives(judged):
  """A test that fails without the mutant, in the survey or on its own, tells nothing."""
  verdicts, _ = judged
  assert outcome(verdicts["not seen"]) == ("survived", None)
  assert verdicts["not seen"]["tests"] == 1
  assert outcome(verdicts["not reached"])[0] in ("survived", "uncovered")


def test_a_run_goes_on_after_the_last_whole_line(judged):
  assert judged[0]["judged before"]["outcome"] == "survived" and judged[0]["judged before"]["clock"] == 0


def test_the_summary_counts_by_module_and_shows_what_was_missed(judged):
  _, printed = judged
  assert "| toy | 7 | 4 | 57% |" in printed and "| all | 7 | 4 | 57% |" in printed
  shown = printed[printed.index("## toy") :]
  assert "+return x >= 0" in shown and "+return FACTOR * x + 1" not in shown

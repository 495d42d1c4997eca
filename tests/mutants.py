"""Mutation testing: small faults are put into the library, one at a time, and the tests have to see them.

`python -m tests.mutants` draws mutants of mutmut's operators and runs each against the tests that reach its line; see
tests/README.md. TensorFlow is imported once: every run is a fork of a process that has imported and executed nothing.
"""

import argparse
import ast
import collections
import contextlib
import dataclasses
import difflib
import importlib
import json
import math
import os
import pathlib
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator

import coverage
import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators, operator_arg_removal, operator_assignment

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("tfdisent", "features", "gin_configs", "tests")
GROUP_LINES = 100  # of a module that is a group of its own
CAUGHT = ("caught", "timeout")
# These fill the cache: a judge kept from before would hide what is wrong with how it is trained.
FILL_THE_CACHE = ("tfdisent/evaluation/judges.py", "tfdisent/data/image_cache.py")
ENDLESS = 10  # times the usual time of a test
MARGIN = 20  # seconds that a test may take whatever its usual time
STUCK = 600  # seconds asleep and awake in one test: it waits for something that does not come


# --- Mutants ----------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Mutant:
  """A fault in a file: `source` is the file with it; lines `first` to `last` are those of its statement, from 1."""

  path: str
  first: int
  last: int
  source: str
  diff: str

  @property
  def key(self) -> str:
    return f"{self.path}:{self.first} {zlib.crc32(self.diff.encode()):08x}"


def _is_dead(node: cst.CSTNode) -> bool:
  """Nothing that runs, or nothing that a test could see: annotations, docstrings, `__all__`, how a plot looks."""
  if isinstance(node, cst.Annotation | cst.Import | cst.ImportFrom):
    return True
  if isinstance(node, cst.Expr):
    return isinstance(node.value, cst.SimpleString | cst.ConcatenatedString)
  if isinstance(node, cst.Assign):
    return any(isinstance(t.target, cst.Name) and t.target.value == "__all__" for t in node.targets)
  return _is_cosmetic(node)


def _is_named(node: cst.CSTNode, *names: str) -> bool:
  """A call of a function or a method of one of these names."""
  function = node.func if isinstance(node, cst.Call) else None
  name = function.attr if isinstance(function, cst.Attribute) else function
  return isinstance(name, cst.Name) and name.value in names


def _is_cosmetic(node: cst.CSTNode) -> bool:
  names = ("encoding", "flush", "verbose", "figsize", "linewidth", "alpha", "dpi")
  return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value in names


def _is_message(node: cst.CSTNode) -> bool:
  if isinstance(node, cst.Call):
    name = node.func.value if isinstance(node.func, cst.Attribute) else node.func
    return isinstance(name, cst.Name) and name.value in ("logging", "print", "warnings")
  return isinstance(node, cst.Raise)


class _Sites(cst.CSTVisitor):
  """Finds what can be mutated: `(node, operator, first line, last line)`. Of messages, only that they are given."""

  METADATA_DEPENDENCIES = (PositionProvider,)

  def __init__(self):
    self.sites: list[tuple[cst.CSTNode, Callable, int, int]] = []
    self._messages = 0
    self._lines = [(1, 1)]

  def on_visit(self, node: cst.CSTNode) -> bool:
    if _is_dead(node):
      return False
    if _is_named(node, "prefetch"):  # how far ahead data are read changes nothing
      node.func.visit(self)
      return False
    if isinstance(node, cst.BaseCompoundStatement | cst.SimpleStatementLine):
      self._lines.append(self._header(node))
    self._messages += _is_message(node)
    worded = isinstance(node, cst.BaseString | cst.BaseNumber | cst.BinaryOperation | cst.FormattedString)
    if not (self._messages and worded):
      self.sites += [
        (node, operator, *self._lines[-1]) for kind, operator in mutation_operators if isinstance(node, kind)
      ]
    return True

  def on_leave(self, original_node: cst.CSTNode) -> None:
    if _is_dead(original_node):
      return
    self._messages -= _is_message(original_node)
    if isinstance(original_node, cst.BaseCompoundStatement | cst.SimpleStatementLine):
      self._lines.pop()

  def _header(self, node: cst.BaseStatement) -> tuple[int, int]:
    """The lines of a statement without its block."""
    place = self.get_metadata(PositionProvider, node)
    if not isinstance(getattr(node, "body", None), cst.IndentedBlock):
      return place.start.line, place.end.line
    return place.start.line, max(
      place.start.line, self.get_metadata(PositionProvider, node.body.body[0]).start.line - 1
    )


def _mutations(node: cst.CSTNode, operator: Callable) -> Iterator[cst.CSTNode]:
  """What an operator makes of a node, less what only a crash or nobody could tell from it."""
  if operator is operator_arg_removal and _is_named(node, "len", "isinstance"):
    return
  if operator is operator_assignment and isinstance(node.value, cst.Name) and node.value.value == "False":
    return  # None is as good as False
  kept = [arg for arg in getattr(node, "args", ()) if _is_cosmetic(arg)]
  for mutated in operator(node):
    if all(any(arg is other for other in getattr(mutated, "args", kept)) for arg in kept):
      yield mutated


def mutants(root: pathlib.Path, path: str, random_state: random.Random) -> Iterator[Mutant]:
  """One mutant of every site of a file, in random order."""
  source = (root / path).read_text(encoding="utf-8")
  wrapper = MetadataWrapper(cst.parse_module(source))
  visitor = _Sites()
  wrapper.visit(visitor)
  random_state.shuffle(visitor.sites)
  before = ast.dump(ast.parse(source))
  for node, operator, first, last in visitor.sites:
    choices = list(_mutations(node, operator))
    if not choices:
      continue
    mutated = wrapper.module.deep_replace(node, random_state.choice(choices)).code
    with contextlib.suppress(SyntaxError):  # `return` outside of a function
      compile(mutated, path, "exec")
      if ast.dump(ast.parse(mutated)) != before:
        lines = difflib.unified_diff(source.splitlines(), mutated.splitlines(), path, path, lineterm="", n=1)
        yield Mutant(path, first, last, mutated, "\n".join(lines))


def groups_of(root: pathlib.Path) -> dict[str, list[str]]:
  """The files of each group: a room of the library, a module beside the rooms, all small modules, or the features."""
  groups: dict = collections.defaultdict(list)
  for file in sorted((root / "tfdisent").rglob("*.py")):
    room, *rest = file.relative_to(root / "tfdisent").parts
    if not rest and file.read_text(encoding="utf-8").count("\n") < GROUP_LINES:
      room = "small modules"
    groups[room.removesuffix(".py")].append(str(file.relative_to(root)))
  features = [str(file.relative_to(root)) for file in sorted((root / "features").rglob("*.py"))]
  return {**groups, "features": features}


def draw(root: pathlib.Path, seed: int, count: int, groups: dict[str, list[str]]) -> Iterator[tuple[str, Mutant]]:
  """`count` mutants with their groups' names, group after group in turn, so that any first few are even, too."""
  streams = {}
  for name, files in groups.items():
    random_state = random.Random(f"{seed} {name}")
    sizes = [1 + (root / file).stat().st_size for file in files]
    streams[name] = _mixed([mutants(root, file, random_state) for file in files], sizes, random_state)
  turns = collections.deque(streams)
  while turns and count:
    name = turns.popleft()
    if mutant := next(streams[name], None):
      turns.append(name)
      count -= 1
      yield name, mutant


def _mixed(streams: list[Iterator], weights: list[int], random_state: random.Random) -> Iterator:
  """The items of all streams; the next one is of a stream drawn by its weight."""
  left = dict(enumerate(weights))
  while left:
    (i,) = random_state.choices(list(left), list(left.values()))
    item = next(streams[i], None)
    if item is None:
      del left[i]
    else:
      yield item


# --- Which tests reach which lines ------------------------------------------------------------------------------------


def qualified_names(source: str) -> list[str]:
  """The qualified name of the innermost function or class of each line, "" where there is none; [0] is of line 1."""
  names = [""] * (source.count("\n") + 1)

  def mark(node, prefix):
    for child in ast.iter_child_nodes(node):
      if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        name = f"{prefix}{child.name}"
        first = min([child.lineno, *(decorator.lineno for decorator in child.decorator_list)])
        names[first - 1 : child.end_lineno] = [name] * (child.end_lineno - first + 1)
        mark(child, f"{name}.")
      else:
        mark(child, prefix)

  mark(ast.parse(source), "")
  return names


def _mark(line: str) -> int:
  """Stands for a line's text, wherever it moves to."""
  return zlib.crc32(line.strip().encode())


class Recorder:
  """A pytest plugin: writes one JSON line for each test and each shared fixture: its time and the lines that it ran.

  A line is kept as the checksum of its text under its function's qualified name, so that the map holds for a tree in
  which other lines have changed.
  """

  def __init__(self, root: pathlib.Path, file: pathlib.Path):
    self._root, self._file = root, file
    self._coverage = coverage.Coverage(
      data_file=None, config_file=False, source=[str(root / name) for name in PACKAGES[:2]], messages=False
    )
    self._running: list[dict] = []
    self._names: dict[str, tuple[list[str], list[str]]] = {}

  def pytest_sessionstart(self):
    self._coverage.start()

  @contextlib.contextmanager
  def _unit(self, name: str) -> Iterator[None]:
    start = _seconds()
    unit = {"unit": name, "inner": 0.0, "fixtures": [], "outcome": "passed"}
    self._running.append(unit)
    self._coverage.switch_context(name)
    try:
      yield
    finally:
      self._running.pop()
      total = _seconds() - start
      if self._running:
        self._running[-1]["inner"] += total
      unit["seconds"] = round(max(0.0, total - unit.pop("inner")), 3)
      unit["lines"] = self._lines(name)
      self._coverage.switch_context(self._running[-1]["unit"] if self._running else "")
      _append(self._file, unit)

  def _lines(self, name: str) -> dict[str, dict[str, list[int]]]:
    data = self._coverage.get_data()
    data.set_query_context(name)
    found: dict = {}
    for path in data.measured_files():
      relative = str(pathlib.Path(path).relative_to(self._root))
      if relative not in self._names:
        source = pathlib.Path(path).read_text(encoding="utf-8")
        self._names[relative] = (qualified_names(source), source.split("\n"))
      names, texts = self._names[relative]
      for line in data.lines(path) or ():
        found.setdefault(relative, {}).setdefault(names[line - 1], set()).add(_mark(texts[line - 1]))
    return {path: {name: sorted(marks) for name, marks in parts.items()} for path, parts in found.items()}

  @pytest.hookimpl(wrapper=True)
  def pytest_fixture_setup(self, fixturedef, request):
    if fixturedef.scope == "function" or fixturedef.argname == "request":
      return (yield)
    with self._unit(_fixture_name(fixturedef)):
      return (yield)

  @pytest.hookimpl(wrapper=True)
  def pytest_runtest_protocol(self, item, nextitem):
    file = item.nodeid.split("::")[0]
    try:
      with self._unit(item.nodeid):
        return (yield)
    finally:
      if nextitem is None or nextitem.nodeid.split("::")[0] != file:
        _append(self._file, {"done": file})

  @pytest.hookimpl(tryfirst=True)
  def pytest_runtest_teardown(self, item):
    used = item._request._fixture_defs.values()  # those asked for while it ran, too
    self._running[-1]["fixtures"] = sorted({_fixture_name(f) for f in used if f.scope != "function"})

  def pytest_runtest_logreport(self, report):
    if report.outcome != "passed":
      self._running[-1]["outcome"] = report.outcome


def _fixture_name(fixturedef) -> str:
  return f"{fixturedef.baseid}::{fixturedef.argname} (fixture)"


class OneOfEach:
  """A pytest plugin: runs one test for each fixture that a whole session shares, so that the cache is filled."""

  @pytest.hookimpl(trylast=True)
  def pytest_collection_modifyitems(self, items):
    users = {}
    for item in items:
      for definitions in item._fixtureinfo.name2fixturedefs.values():
        users |= {f: item for f in definitions if f.scope == "session" and f.baseid}
    items[:] = set(users.values())


class Map:
  """What a file of `Recorder` tells."""

  def __init__(self, file: pathlib.Path):
    lines = _read(file)
    units = {line["unit"]: line for line in lines if "unit" in line}
    self.files = {line["done"] for line in lines if "done" in line}
    self.seconds = {name: unit["seconds"] for name, unit in units.items()}
    self.fixtures = {name: unit["fixtures"] for name, unit in units.items() if "(fixture)" not in name}
    self.tests = {name for name in self.fixtures if units[name]["outcome"] == "passed"}
    users = collections.defaultdict(set)
    for test in self.tests:
      for name in (test, *self.fixtures[test]):
        users[name].add(test)
    self._reach: dict = collections.defaultdict(lambda: collections.defaultdict(lambda: collections.defaultdict(set)))
    for name, unit in units.items():
      for path, parts in unit["lines"].items():
        for function, marks in parts.items():
          for mark in marks:
            self._reach[path][function][mark] |= users[name]

  def reaching(self, root: pathlib.Path, mutant: Mutant) -> set[str]:
    """The tests that ran one of the lines of a mutant's statement.

    Where there is none (a line that is new, a default, a class's attribute, a function that TensorFlow rewrote): those
    that ran its function, or what is around that. Of a function that none ran, those of the module's own test file.
    """
    source = (root / mutant.path).read_text(encoding="utf-8")
    names, texts = qualified_names(source), source.split("\n")
    reach = self._reach[mutant.path]
    function = names[mutant.first - 1]
    lines = range(mutant.first - 1, mutant.last)
    tests = set().union(*(reach[function][_mark(texts[i])] for i in lines)) if function in reach else set()
    while not tests:
      inside = [name for name in reach if not function or name == function or name.startswith(f"{function}.")]
      tests = set().union(*(t for name in inside for t in reach[name].values()))
      if not function:
        near = mirror(root, mutant.path)
        return {test for test in tests if test.startswith(f"{near}::") or not names[mutant.first - 1]} & self.tests
      function = function.rpartition(".")[0]
    return tests & self.tests

  def order(self, tests: Iterable[str], near: str, limit: float) -> list[tuple[str, float]]:
    """Tests in the order of the seconds that each adds, with those: the fixtures that it is the first to use count.

    Tests of the file `near` come first among equals up to three times as long. Ends where `limit` is surely over.
    """
    left, made, ordered, total = sorted(tests), set(), [], 0.0

    def cost(test):
      return self.seconds[test] + sum(self.seconds.get(f, 0.0) for f in self.fixtures[test] if f not in made)

    while left and total < 3 * limit:
      best = min(left, key=lambda test: cost(test) / (3 if test.startswith(f"{near}::") else 1))
      ordered.append((best, cost(best)))
      total += ordered[-1][1]
      made |= set(self.fixtures[best])
      left.remove(best)
    return ordered


def mirror(root: pathlib.Path, path: str) -> str:
  """The test file of a module, by name: its own, or its package's."""
  _, *rooms, module = pathlib.Path(path).with_suffix("").parts
  names = ["/".join(["tests", *rooms, f"test_{module}.py"]), f"tests/test_{pathlib.Path(path).parts[0]}.py"]
  return next((name for name in names if (root / name).is_file()), "")


# --- Runs of tests in a fork ------------------------------------------------------------------------------------------


class Selected:
  """A pytest plugin: runs tests in a given order until one fails or `limit` seconds of CPU are over.

  Tests of the file `near` that are not among the `known` come first: they may have been written for the mutant.
  """

  def __init__(self, order: list[tuple[str, float]], near: str, known: set[str], limit: float, file: pathlib.Path):
    self._order, self._near, self._known, self._limit, self._file = dict(order), near, known, limit, file

  @pytest.hookimpl(trylast=True)
  def pytest_collection_modifyitems(self, items):
    items[:] = [item for item in items if item.nodeid in self._order or self._is_new(item.nodeid)]
    places = {test: place for place, test in enumerate(self._order)}
    items.sort(key=lambda item: places.get(item.nodeid, -1))
    self._limit += _seconds()  # the start does not count

  def _is_new(self, test: str) -> bool:
    return test not in self._known and test.startswith(f"{self._near}::")

  @pytest.hookimpl(tryfirst=True)
  def pytest_runtest_protocol(self, item):
    if _seconds() > self._limit:
      _append(self._file, {"over": True})
      item.session.shouldstop = "the limit is over"
      return True  # it is not run
    seconds = max(ENDLESS * self._order.get(item.nodeid, 0.0), MARGIN)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(time.process_time() + seconds), most))
    _append(self._file, {"test": item.nodeid})
    return None

  def pytest_runtest_logreport(self, report):
    if report.failed:
      crash = getattr(report.longrepr, "reprcrash", None)
      _append(self._file, {"failed": report.nodeid, "why": (crash.message if crash else str(report.longrepr))[:300]})


def _seconds() -> float:
  """CPU time of this process and of its children that have ended: other work on the machine does not count."""
  children = resource.getrusage(resource.RUSAGE_CHILDREN)
  return time.process_time() + children.ru_utime + children.ru_stime


def warm(root: pathlib.Path) -> None:
  """Imports what the project's files import from elsewhere. Executes nothing, for a fork has no threads but its own."""
  names = set()
  for path in (path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
      if isinstance(node, ast.Import):
        names |= {alias.name for alias in node.names}
      elif isinstance(node, ast.ImportFrom) and not node.level:
        names.add(node.module)
  for name in sorted(names):
    if name.split(".")[0] not in PACKAGES:
      with contextlib.suppress(ImportError):
        importlib.import_module(name)


@contextlib.contextmanager
def copied(root: pathlib.Path, mutant: Mutant | None) -> Iterator[pathlib.Path]:
  """A copy of the tree with the mutant in it, in a folder of its own that is gone afterwards."""
  with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
    tree = pathlib.Path(folder, "tree")
    tree.mkdir()
    for name in [*PACKAGES, *(path.name for path in root.iterdir() if path.is_file() and path.name != ".git")]:
      if (root / name).is_dir():
        shutil.copytree(root / name, tree / name)
      elif (root / name).exists():
        shutil.copy2(root / name, tree / name)
    if (root.parent / "shared").exists():
      (tree.parent / "shared").symlink_to(root.parent / "shared")
    if mutant:
      (tree / mutant.path).write_text(mutant.source, encoding="utf-8")
    yield tree


def run_in_fork(
  tree: pathlib.Path,
  files: Iterable[str],
  plugin,
  cache: pathlib.Path,
  log: pathlib.Path,
  stop: bool = True,
  without: str = "",
) -> int:
  """pytest on test files of a tree, in a fork: its exit code, or minus the signal that ended it.

  Args:
    stop: ends it at the first failure, and where a line has not been added to `log` for `STUCK` seconds.
    without: leaves out the tests that match this expression, one of pytest's `-k`.
  """
  quiet, last = 0.0, 0
  pid = os.fork()
  if not pid:
    code = pytest.ExitCode.INTERNAL_ERROR
    try:
      os.setsid()  # what it starts ends with it
      for stream in (1, 2):
        os.dup2(os.open(tree.parent / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
      os.chdir(tree)
      for name in [name for name in sys.modules if name.split(".")[0] in PACKAGES]:
        del sys.modules[name]
      here = ("", str(pathlib.Path.cwd()), str(ROOT))
      sys.path[:] = [str(tree), *(path for path in sys.path if path not in here)]
      os.environ.update(PYTHONPATH=str(tree), TFDISENT_CACHE=str(cache))
      options = ["-q", "-oaddopts=", "-mnot long", "-pno:cacheprovider", f"--basetemp={tree.parent / 'tmp'}"]
      options += [*(["-x"] if stop else []), *([f"-knot ({without})"] if without else [])]
      code = int(pytest.main([*options, *files], plugins=[plugin]))
    finally:
      os._exit(code)
  try:
    while True:
      done, status = os.waitpid(pid, os.WNOHANG)
      if done:
        return os.waitstatus_to_exitcode(status)
      size = log.stat().st_size if log.exists() else 0
      quiet, last = (0.0 if size != last else quiet + 0.1), size  # the clock would go on while both are paused
      if stop and quiet > STUCK:
        return -signal.SIGXCPU
      time.sleep(0.1)
  finally:
    with contextlib.suppress(ProcessLookupError):
      os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
      os.waitpid(pid, 0)


def _append(file: pathlib.Path, line: dict) -> None:
  with file.open("a", encoding="utf-8") as stream:
    stream.write("\n" + json.dumps(line, ensure_ascii=False))  # the line before may be cut


def _read(file: pathlib.Path) -> list[dict]:
  lines = []
  for line in file.read_text(encoding="utf-8").split("\n") if file.exists() else ():
    with contextlib.suppress(json.JSONDecodeError):
      lines.append(json.loads(line))
  return lines


# --- The command ------------------------------------------------------------------------------------------------------


class Bench:
  """Judges mutants of a tree; keeps the map and a warm cache in `folder`. `without` is that of `run_in_fork`."""

  def __init__(self, root: pathlib.Path, folder: pathlib.Path, limit: float, without: str = ""):
    self.root, self.limit, self.without = root, limit, without
    self._map_file, self._cache = folder / "map.jsonl", folder / "cache"
    self._cache.mkdir(parents=True, exist_ok=True)
    self._sound: dict[str, bool] = {}  # tests that failed on a mutant: do they pass without it?
    self.map = Map(self._map_file)

  def survey(self, again: Iterable[str] = ()) -> None:
    """Runs the test files that the map does not know yet, or `again`, and notes what they reach."""
    files = sorted(str(path.relative_to(self.root)) for path in (self.root / "tests").rglob("test_*.py"))
    missing = [file for file in files if file not in self.map.files or file in again]
    if missing:
      print(f"Measuring what {len(missing)} test files reach; it is kept in {self._map_file}.", flush=True)
      with copied(self.root, None) as tree:
        if not any(self._cache.iterdir()):  # else the first test would seem to take as long as a judge's training
          run_in_fork(tree, missing, OneOfEach(), self._cache, self._map_file, False, self.without)
        plugin = Recorder(tree, self._map_file)
        code = run_in_fork(tree, missing, plugin, self._cache, self._map_file, False, self.without)
        if code not in (0, 1):
          raise SystemExit((tree.parent / "output").read_text(encoding="utf-8")[-3000:])
      for file in missing:
        _append(self._map_file, {"done": file})
      self.map = Map(self._map_file)

  def judge(self, mutant: Mutant) -> dict:
    """What becomes of a mutant: its `outcome`, and the `test` that decided it and `why`.

    "caught": a test fails; "timeout": one takes ten times as long as usual; "survived": none does; "limit": none has
    until the time was over; "uncovered": none reaches it.
    """
    near = mirror(self.root, mutant.path)
    tests = self.map.reaching(self.root, mutant)
    while True:
      order = self.map.order({test for test in tests if self._sound.get(test, True)}, near, self.limit)
      verdict = self._run(mutant, order, near)
      test = verdict.get("test")
      if verdict["outcome"] not in CAUGHT or not test or self._passes_without(test):
        return {**verdict, "tests": len(order)}

  def _passes_without(self, test: str) -> bool:
    if test not in self._sound:
      self._sound[test] = self._run(None, [(test, self.map.seconds.get(test, 0.0))], "")["outcome"] == "survived"
    return self._sound[test]

  def _run(self, mutant: Mutant | None, order: list[tuple[str, float]], near: str) -> dict:
    files = sorted(file for file in {near, *(test.split("::")[0] for test, _ in order)} if (self.root / file).is_file())
    if not files:
      return {"outcome": "uncovered", "test": None, "clock": 0.0}
    with copied(self.root, mutant) as tree:
      log, cache = tree.parent / "log.jsonl", tree.parent / "cache"
      if not mutant or mutant.path not in FILL_THE_CACHE:
        shutil.copytree(self._cache, cache)
      known = self.map.fixtures.keys() | {test for test, sound in self._sound.items() if not sound}
      plugin = Selected(order, near, known, self.limit, log)
      start = time.time()
      code = run_in_fork(tree, files, plugin, cache, log, without=self.without)
      said = dict(collections.ChainMap(*reversed(_read(log))))
      verdict = {"clock": round(time.time() - start, 1), "test": said.get("failed", said.get("test")), "why": ""}
      if "failed" in said:
        return {**verdict, "outcome": "caught", "why": said["why"]}
      if code == -signal.SIGXCPU:
        return {**verdict, "outcome": "timeout"}
      if code in (0, pytest.ExitCode.NO_TESTS_COLLECTED) or "over" in said:
        outcome = "limit" if "over" in said else "survived" if code == 0 else "uncovered"
        return {**verdict, "outcome": outcome, "test": None}
      output = (tree.parent / "output").read_text(encoding="utf-8", errors="replace")
      return {**verdict, "outcome": "caught", "test": None, "why": f"exit code {code}: {output[-300:]}"}


def summary(verdicts: Iterable[dict]) -> str:
  """The score of each group, and what was not caught as diffs, in Markdown."""
  counts: dict = collections.defaultdict(collections.Counter)
  missed: dict = collections.defaultdict(list)
  for verdict in verdicts:
    counts[verdict["group"]][verdict["outcome"]] += 1
    if verdict["outcome"] not in CAUGHT:
      missed[verdict["group"]].append(verdict)
  lines = [
    "| module | mutants | caught | score | survived | within the limit | uncovered |",
    "|---|---|---|---|---|---|---|",
  ]
  for name, of in [*sorted(counts.items()), ("all", sum(counts.values(), collections.Counter()))]:
    caught = sum(of[outcome] for outcome in CAUGHT)
    score = f"{caught / max(1, of.total()):.0%}"
    lines.append(
      f"| {name} | {of.total()} | {caught} | {score} | {of['survived']} | {of['limit']} | {of['uncovered']} |"
    )
  for name, group in sorted(missed.items()):
    lines += ["", f"## {name}"]
    for verdict in group:
      lines += ["", f"{verdict['outcome']}, of {verdict.get('tests', 0)} tests:", "```diff", verdict["diff"], "```"]
  return "\n".join(lines)


def run(
  bench: Bench, drawn: list[tuple[str, Mutant]], results: pathlib.Path, jobs: int = 1, again: bool = False
) -> str:
  """Judges what has no verdict in `results` yet, and with `again` what was not caught; returns the summary."""

  def verdicts():
    return {line["key"]: line for line in _read(results)}

  known = verdicts()
  left = [(group, mutant) for group, mutant in drawn
          if mutant.key not in known or (again and known[mutant.key]["outcome"] not in CAUGHT)]  # fmt: skip
  workers = []
  for job in range(jobs):
    pid = os.fork()
    if pid:
      workers.append(pid)
      continue
    code = 1
    try:
      for group, mutant in left[job::jobs]:
        verdict = bench.judge(mutant)
        _append(results, {"key": mutant.key, "group": group, **verdict, "diff": mutant.diff})
        print(f"{verdict['outcome']:9} {verdict['clock']:6.1f} s  {mutant.key}  {verdict['test'] or ''}", flush=True)
      code = 0
    except BaseException:
      traceback.print_exc()
    finally:
      os._exit(code)
  failed = [pid for pid in workers if os.waitpid(pid, 0)[1]]
  if failed:
    raise SystemExit("A job has failed; the same command goes on.")
  known = verdicts()
  return summary([known[mutant.key] for _, mutant in drawn])


def main(arguments: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
  parser.add_argument("--seed", type=int, default=1, help="of the draw")
  parser.add_argument("--count", type=int, default=240, help="mutants, evenly over rooms and modules")
  parser.add_argument("--jobs", type=int, default=1, help="mutants judged at the same time")
  parser.add_argument("--limit", type=float, default=90, help="seconds of CPU for the tests of a mutant")
  parser.add_argument("--without", default="", metavar="EXPRESSION", help="leave out tests: what pytest takes as -k")
  parser.add_argument("--again", action="store_true", help="judge once more what was not caught")
  parser.add_argument(
    "--renew", nargs="*", metavar="FILE", help="measure these test files once more; without a FILE, all"
  )
  parser.add_argument("--summary", action="store_true", help="only print what is known so far")
  parser.add_argument("--folder", type=pathlib.Path, default=ROOT / "build" / "mutants", help="of all that is kept")
  options = parser.parse_args(arguments)
  results = options.folder / f"seed-{options.seed}.jsonl"
  if options.summary:
    print(summary({line["key"]: line for line in _read(results)}.values()))
    return
  warm(ROOT)
  if options.renew == []:
    (options.folder / "map.jsonl").unlink(missing_ok=True)
  bench = Bench(ROOT, options.folder, options.limit, options.without)
  bench.survey(options.renew or ())
  drawn = list(draw(ROOT, options.seed, options.count, groups_of(ROOT)))
  print(run(bench, drawn, results, options.jobs, options.again))


if __name__ == "__main__":
  main()

"""What holds of the project as a whole: the direction of imports, Bazel's targets, the packages, the README."""

import ast
import doctest
import functools
import importlib
import inspect
import operator
import pathlib
import re
import shlex
import subprocess
import sys
import tomllib

import keras
import numpy as np
import PIL.Image
import pytest

import tfdisent
from tests.conftest import train_tiny
from tests.processes import Fork
from tfdisent import config, evaluation
from tfdisent.evaluation import judges
from tfdisent.feature.check import check_feature

ROOT = pathlib.Path(__file__).parent.parent
SOURCES = sorted(
  path.relative_to(ROOT)
  for folder in ("tfdisent", "features", "gin_configs", "tests")
  for path in (ROOT / folder).rglob("*.py")
)


def imported(path: pathlib.Path) -> set[str]:
  """Modules that a file imports anywhere in it."""
  names = set()
  for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom) and not node.level:
      names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
  return names


def uses(path: pathlib.Path, package: str) -> bool:
  return any(name == package or name.startswith(f"{package}.") for name in imported(path))


ROOMS = (
  *(
    "errors",
    "console",
    "paths",
    "shipped",
    "cache",
    "hardware",
    "moved",
    "keras_names",
    "arguments",
    "registry",
    "plugins",
    "codes",
    "losses",
    "data",
    "run",
    "distribution",
    "networks",
  ),
  *(
    "feature",
    "controls",
    "presets",
    "model",
    "checkpoints",
    "inference",
    "loading",
    "examples",
    "erasure",
    "pictures",
    "training",
    "serving",
    "evaluation",
  ),
  *(
    "sweep",
    "benchmark",
    "recipe",
    "plan",
    "api",
    "demo",
    "gin_files",
    "gin_words",
    "config",
    "flags",
    "modes",
    "main",
    "testing",
  ),
)
"""From the ground up: each imports from those before it alone."""
STRANGERS = {
  "inference": {"training"},
  "training": {"pictures", "serving", "evaluation"},
  "serving": {"pictures", "training"},
  "evaluation": {"training", "serving"},
}
"""Rooms that know nothing of others, although these come before them or are as high."""
LIBRARY = [path for path in SOURCES if path.parts[0] == "tfdisent" and path.parts[1] != "__init__.py"]


def room(module: str) -> str | None:
  """Which room a module of the library is in: "data" of "tfdisent.data.batches"."""
  parts = module.split(".")
  return parts[1] if parts[0] == "tfdisent" and len(parts) > 1 and parts[1] in ROOMS else None


@pytest.mark.parametrize("path", LIBRARY, ids=str)
def test_the_rooms_import_downwards(path):
  here = path.with_suffix("").parts[1]
  used = {room(module) for module in imported(path)} - {None, here}
  above = {other for other in used if ROOMS.index(other) > ROOMS.index(here)}
  assert not above, f"{path} imports from above: {sorted(above)}"
  assert not used & STRANGERS.get(here, set())


def test_every_room_has_its_place():
  assert {path.with_suffix("").parts[1] for path in LIBRARY} == set(ROOMS)


LONG = {
  "tfdisent/model/terms.py terms": "the paper's loss, in the paper's order, to be read beside it",
  "tests/model/world.py known_terms": "the same loss once more, in NumPy",
}
"""Modules of more than 300 lines, and functions of more than 60, their docstrings aside; each with its reason."""


def lines_without_docstring(function: ast.FunctionDef) -> int:
  documented = function.body[0] if ast.get_docstring(function) else None
  of_docstring = documented.end_lineno - documented.lineno + 1 if documented else 0
  return function.end_lineno - min(node.lineno for node in (function, *function.decorator_list)) + 1 - of_docstring


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_modules_and_functions_are_short_enough_to_be_read_at_a_glance(path):
  text = (ROOT / path).read_text(encoding="utf-8")
  functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
  long = {f"{path} {function.name}" for function in functions if lines_without_docstring(function) > 60}
  long |= {str(path)} if path.parts[0] == "tfdisent" and len(text.splitlines()) > 300 else set()
  assert long == {name for name in LONG if name.split()[0] == str(path)}


@pytest.mark.parametrize("path", LIBRARY, ids=str)
def test_the_library_knows_neither_its_plugins_nor_gin(path):
  assert not uses(path, "features")
  if path.name != "config.py":
    assert not uses(path, "gin") and not uses(path, "gin_configs")


def test_the_map_names_every_room_in_its_order():
  readme = (ROOT / "tfdisent" / "README.md").read_text(encoding="utf-8")
  rows = re.findall(r"^\| (`.*?) \|", readme.partition("| room or file |")[2].partition("\n\n")[0], flags=re.MULTILINE)
  named = [name.removesuffix(".py").removesuffix("/") for row in rows for name in re.findall("`(.*?)`", row)]
  assert named == list(ROOMS)


def test_importing_tfdisent_loads_no_plugin_and_not_even_tensorflow():
  code = "import sys, tfdisent; print(any(n.split('.')[0] in ('features', 'tensorflow', 'keras') for n in sys.modules))"
  assert (
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    == "False\n"
  )


def test_type_checkers_see_every_export():
  """The names are imported when they are used, which no type checker follows: it reads `__init__.pyi`."""
  tree = ast.parse((ROOT / "tfdisent" / "__init__.pyi").read_text(encoding="utf-8"))
  told = {alias.asname: node.module for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
  assert told == {name: f"tfdisent.{module}" for name, module in tfdisent._EXPORTS.items()} | {"data": "tfdisent"}
  assert (ROOT / "tfdisent" / "py.typed").exists()


@functools.cache
def bazel_targets() -> list[dict]:
  """The targets of BUILD: Starlark is close enough to Python to be run as such."""
  targets = []

  def glob(patterns, exclude=(), allow_empty=False):
    paths = {str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(paths - {str(path.relative_to(ROOT)) for pattern in exclude for path in ROOT.glob(pattern)})

  def rule(**attributes):
    targets.append(attributes)

  names = {name: rule for name in ("py_library", "py_binary", "py_test")}
  nothing = {name: lambda *a, **k: None for name in ("load", "package", "licenses", "exports_files")}
  exec((ROOT / "BUILD").read_text(encoding="utf-8"), {"glob": glob, **names, **nothing})
  return targets


def test_every_source_belongs_to_a_bazel_target():
  targets = bazel_targets()
  covered = {source for target in targets for source in target["srcs"]}
  assert {str(path) for path in SOURCES} - {"tests/__init__.py"} <= covered
  data = {file for target in targets for file in target.get("data", ())}
  assert {str(path.relative_to(ROOT)) for path in ROOT.glob("gin_configs/**/*.gin")} <= data


def test_every_test_file_is_one_bazel_target():
  tests = sorted(str(path) for path in SOURCES if path.name.startswith("test_"))
  assert sorted(target["srcs"][0] for target in bazel_targets() if target.get("args")) == tests


def test_bazel_and_pip_name_the_same_dependencies():
  project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
  wanted = {requirement.split(">")[0].strip().replace("-", "_") for requirement in project["dependencies"]}
  (library,) = [target for target in bazel_targets() if target["name"] == "tfdisent"]
  assert {dependency.removeprefix("@pypi//") for dependency in library["deps"]} == wanted


def test_bazel_finds_every_dependency_in_the_lock():
  lock = (ROOT / "requirements_lock.txt").read_text(encoding="utf-8")
  locked = {name.replace("-", "_").lower() for name in re.findall(r"^([\w.-]+)==", lock, flags=re.MULTILINE)}
  named = {name for target in bazel_targets() for name in target.get("deps", ()) if name.startswith("@pypi//")}
  assert {name.removeprefix("@pypi//") for name in named} <= locked


@pytest.fixture(scope="module")
def contents() -> dict[str, set[pathlib.Path]]:
  """What the build backend would put into the wheel and the sdist."""
  plugin = pytest.importorskip("hatchling.plugin.manager", reason="hatchling is not installed").PluginManager()
  builders = {name: plugin.builder.get(name)(str(ROOT), plugin_manager=plugin) for name in ("wheel", "sdist")}
  return {
    name: {pathlib.Path(file.distribution_path) for file in builder.recurse_included_files()}
    for name, builder in builders.items()
  }


def test_the_wheel_has_all_that_a_user_needs(contents):
  needed = {path for path in SOURCES if path.parts[0] != "tests"}
  for pattern in ("gin_configs/**/*.gin", "tfdisent/models/*/*", "tfdisent/serving/page/*", "tfdisent/*.pyi"):
    needed |= {path.relative_to(ROOT) for path in ROOT.glob(pattern) if path.is_file()}
  assert needed | {pathlib.Path("tfdisent/py.typed")} <= contents["wheel"]


def test_the_wheel_has_nothing_else(contents):
  kinds = {".py", ".pyi", ".gin", ".json", ".csv", ".npz", ".png", ".html", ".css", ".js"}
  other = {path for path in contents["wheel"] if path.suffix not in kinds}
  pages = {path for path in other if path.match("models/*/README.md")}
  assert other - pages == {pathlib.Path("tfdisent/py.typed"), pathlib.Path("gin_configs/results/tables.md")}
  assert {path.parts[0] for path in contents["wheel"]} == {"tfdisent", "features", "gin_configs"}
  assert sum((ROOT / path).stat().st_size for path in contents["wheel"]) < 8e6


def test_the_sdist_has_the_wheel_and_the_tests(contents):
  pages = {path.relative_to(ROOT) for path in ROOT.glob("*.md")}
  tests = {path for path in SOURCES if path.parts[0] == "tests"}
  assert contents["wheel"] | pages | tests <= contents["sdist"]
  assert not {path for path in contents["sdist"] if {"runs", "build", "dist", "__pycache__"} & set(path.parts)}


def test_one_version_is_told_everywhere():
  told = {
    "MODULE.bazel": r'version = "([\d.]+)"\)',
    "CITATION.cff": r"^version: ([\d.]+)$",
    "CHANGELOG.md": r"^## ([\d.]+)",
  }
  for file, pattern in told.items():
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(pattern, text, flags=re.MULTILINE)[1] == tfdisent.__version__, file


def test_every_test_mirrors_a_module():
  """By its name and by its room."""
  modules = {pathlib.Path(*path.parts[1:]) for path in SOURCES if path.parts[0] == "tfdisent"}
  whole = {
    "additions",
    "api",
    "features",
    "fuzz",
    "jittered",
    "large_images",
    "parts",
    "interruptions",
    "configs",
    "mutants",
    "project",
    "tables",
    "properties",
    "serving/server",
    "examples/examples",
  }
  modules |= {pathlib.Path(f"{name}.py") for name in whole}
  tests = [pathlib.Path(*path.parts[1:]) for path in SOURCES if path.name.startswith("test_")]
  assert {path.with_name(path.name.removeprefix("test_")) for path in tests} <= modules


def test_the_feature_of_the_readme_works_as_it_stands(few_digits, no_graphs, tmp_path, monkeypatch):
  """It is written into a package of the current folder, which the command finds, and trained."""
  readme = (ROOT / "README.md").read_text(encoding="utf-8")
  (code,) = re.findall(r"```python\n# my_package/brightness.py\n(.*?)```", readme, flags=re.DOTALL)
  (line,) = re.findall(r"^    tfdisent (.*my_package.brightness.*)$", readme, flags=re.MULTILINE)
  (tmp_path / "my_package").mkdir()
  (tmp_path / "my_package" / "brightness.py").write_text(code, encoding="utf-8")
  for number, image in enumerate(few_digits.train["image"][:60]):
    folder = tmp_path / "photos" / ("cat", "dog")[number % 2]
    folder.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(folder / f"{number}.png")
  in_folder = f"import os; os.chdir({str(tmp_path)!r}); from tfdisent.main import run; run()"
  returned, printed = Fork(in_folder, *shlex.split(line), "--describe").end(600)
  assert returned == 0 and "train.feature = ('brightness',)" in printed, printed
  monkeypatch.syspath_prepend(tmp_path)
  config.read([], ["import my_package.brightness", "brightness.gamma = 2.0"])
  feature = config.make_feature("brightness")
  assert feature.gamma == 2.0
  check_feature(feature, few_digits.test["image"][:16])
  trained = train_tiny(tmp_path / "run", few_digits, feature, objective={"lambda4": 0.0}, epochs=1, evaluate_every=0)
  x = few_digits.test["image"]
  np.testing.assert_allclose(trained.encode(x).feature[:, 0], ((x / 255) ** 2).mean((1, 2, 3)), rtol=1e-3)


def snippet(heading: str, file: str = "README.md") -> str:
  """The first Python of a section."""
  readme = (ROOT / file).read_text(encoding="utf-8")
  return re.search(rf"^#+ {heading}\n\n```python\n(.*?)```", readme, flags=re.DOTALL | re.MULTILINE)[1]


def test_the_lines_of_the_readme_train_from_a_folder(tmp_path, monkeypatch):
  """As they stand, but for the number of epochs and a simpler loss, and with the quick figures alone."""
  random_state = np.random.default_rng(0)
  for i in range(160):
    file = tmp_path / "photos" / ("cat", "dog")[i % 2] / f"{i}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(random_state.integers(256, size=(28, 28), dtype=np.uint8)).save(file)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 100)
  whole = evaluation.evaluate
  monkeypatch.setattr(
    evaluation, "evaluate", lambda *arguments, **keywords: whole(*arguments, **{**keywords, "quick": True})
  )
  code = snippet("From Python").replace("epochs=20", "epochs=1, batch_size=32, preset='paper'")
  names = {"images": np.zeros([2, 28, 28, 1], np.uint8)}
  exec(code, names)
  assert (tmp_path / "runs/photos/fusion.png").is_file() and (tmp_path / "models/photos/1/saved_model.pb").is_file()
  assert names["m"].class_names == {"label": ("cat", "dog")}


def test_the_lines_of_the_readme_fit_a_keras_model(no_graphs, tmp_path, monkeypatch):
  random_state = np.random.default_rng(0)
  images, labels = random_state.integers(256, size=(24, 64, 64, 3), dtype=np.uint8), random_state.integers(10, size=24)
  monkeypatch.chdir(tmp_path)
  exec(
    snippet("A Keras model like any other", "tfdisent/README.md").replace("epochs=5", "epochs=1"),
    {"images": images, "labels": labels},
  )
  assert keras.models.load_model("m.keras")(images[:2]).shape == (2, 64, 64, 3)


PUBLIC = {
  **{name: "tfdisent" for name in tfdisent.__all__ if name.islower()},
  **{name: "tfdisent.data" for name in tfdisent.data.__all__ if name.islower()},
}
"""Public functions, and where each is."""


@pytest.mark.parametrize("name, module", PUBLIC.items())
def test_a_public_function_has_an_example(name, module):
  docstring = inspect.getdoc(getattr(importlib.import_module(module), name))
  assert re.search(rf"\b({name}|register_\w+)\(", docstring)


@pytest.mark.parametrize("name", ["TrainedModel", "models", "data.from_arrays"])
def test_the_examples_of_docstrings_run(name):
  example = operator.attrgetter(name)(tfdisent)
  (test,) = doctest.DocTestFinder(recurse=False).find(example, name, globs={"tfdisent": tfdisent, "np": np})
  assert doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test).failed == 0 < len(test.examples)


PAGES = sorted(
  path.relative_to(ROOT) for path in ROOT.glob("**/*.md") if not {".venv", ".pytest_cache"} & set(path.parts)
)


def test_the_first_page_is_short():
  readme = (ROOT / "README.md").read_text(encoding="utf-8")
  assert len(readme.splitlines()) <= 160 and len(readme.split()) <= 1200


@pytest.mark.parametrize("file", PAGES, ids=str)
def test_a_page_links_to_what_is_there(file):
  readme = (ROOT / file).read_text(encoding="utf-8")
  for link, heading in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", readme):
    linked = (ROOT / file).parent / link if link else ROOT / file
    assert linked.exists(), link
    if heading:
      headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), flags=re.MULTILINE)
      assert heading in {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in headings}, heading
  outside = re.sub(r"```.*?```", "", readme, flags=re.DOTALL)
  assert not re.search(r"^(tfdisent --|pip install)", outside, flags=re.MULTILINE), "a command is no block"
  for named in re.findall(r"(?<!/)gin_configs/[\w/]+\.gin", readme):
    assert (ROOT / named).exists(), named

"""The tables of results say what the files of results say."""

import csv
import json
import re

import pytest

from tests import tables

NAMED = tables.results()


def percent(share):
  """As the page writes it: 98.8, and 100 for 100.0."""
  return tables.rounded(share, 1, 100).replace("100.0", "100")


FILES = sorted(tables.RESULTS.glob("*.json"))


@pytest.mark.parametrize("page, template", tables.templates(), ids=lambda text: text.partition("{")[0][-40:].strip())
def test_a_table_has_the_figures_of_the_files(page, template):
  there = (tables.ROOT / page).read_text(encoding="utf-8")
  assert tables.with_table(there, template, NAMED) == there, "python -m tests.tables makes it anew"


@pytest.mark.parametrize("page, template", tables.templates(), ids=lambda text: text.partition("{")[0][-40:].strip())
def test_no_figure_of_a_table_is_written_by_hand(page, template):
  words = re.sub(r"\{.*?\}|`.*?`|where 90 % of", "", template)  # how one of the data sets was made is no figure
  assert not re.search(r"\d\.\d|\d ?(%|°|dB|px|nats)", words)


def test_the_seven_tables_are_among_them():
  assert [page for page, _ in tables.templates()] == ["README.md", *6 * ["gin_configs/README.md"]]


@pytest.mark.parametrize("what", ["paper", "fader", "gan", "cycle"])
def test_the_best_of_a_search_are_those_of_its_file(what):
  rows = csv.DictReader((tables.RESULTS / "search_digit.csv").open(encoding="utf-8"))
  found = [(float(row["control_mean"]), float(row["control_prior"])) for row in rows if row["what"] == what]
  assert len(found) == 24
  best = ", ".join(f"{percent(mean)} / {percent(prior)}" for mean, prior in sorted(found)[:-5:-1])
  assert f"| {best} |" in (tables.ROOT / "gin_configs" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_result_says_how_it_was_made(file):
  there = json.loads(file.read_text(encoding="utf-8"))
  made = there["made"]
  assert {"command", "seeds", "split", "minutes", "machine"} <= set(made) and {"date", "source"} & set(made)
  configs = re.findall(r"--gin_file=(\S+)", made["command"])
  assert configs and all((tables.ROOT / config).exists() for config in configs)
  for name, figure in there["metrics"].items():
    assert figure.get("low", figure["value"]) <= figure["value"] <= figure.get("high", figure["value"]), name


def test_another_figure_is_another_table():
  template = "| a | b |\n|---|---|\n| seen | {run[control/accuracy_mean]:1% %±} | {run.minutes}, {run.seeds} |\n"
  page = "Before.\n\n| a | b |\n|---|---|\n| seen | 3 | 4 |\n| an old line | 5 | 6 |\n\nAfter.\n"
  run = tables.Result(FILES[0])
  run["control/accuracy_mean"] = tables.Figure(value=0.1135, low=0.1, high=1.0)
  run.made = {"minutes": [25.5, 19.5, 20], "seeds": [0, 1, 2]}
  line = "| seen | 11.4 % [10.0, 100.0] | 20 to 26, 3 |"
  assert tables.with_table(page, template, {"run": run}) == f"Before.\n\n| a | b |\n|---|---|\n{line}\n\nAfter.\n"
  with pytest.raises(LookupError, match="no table"):
    tables.with_table("Before.", template, {"run": run})


@pytest.mark.parametrize(
  "value, spec, text",
  [
    (0.1135, "1%", "11.4"),
    (-0.028, "3", "-0.028"),
    (-0.0003, "3", "0.000"),
    (2, "3 nats", "2.000 nats"),
    (1.0, "0% %", "100 %"),
    (0, "0", "0"),
  ],
)
def test_a_figure_is_rounded_as_people_do(value, spec, text):
  assert format(tables.Figure(value=value), spec) == text

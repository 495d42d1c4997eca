"""Makes the tables of results in the READMEs from the files of results, so that no figure is copied by hand:

    python -m tests.tables

A file of results, gin_configs/results/NAME.json, has what `metrics.json` of a run has under "metrics", and under "made"
the command, seeds, split, minutes of each training, machine and date; "source" where the figures were copied from a
page, because the run's own file was lost. gin_configs/results/tables.md has the tables, with a placeholder for each
figure: `{NAME[control/accuracy_mean]:1% %}`. A model that comes with the package has its name and its own metrics.
"""

import decimal
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
RESULTS = ROOT / "gin_configs" / "results"
TEMPLATES = RESULTS / "tables.md"


def rounded(value: float, decimals: int, scale: int = 1) -> str:
  """A number as people round it: 0.1135 is 11.4 %, where the float would give 11.3."""
  exact = decimal.Decimal(str(value)) * scale
  nearest = exact.quantize(decimal.Decimal(1).scaleb(-decimals), decimal.ROUND_HALF_UP)
  return str(nearest or abs(nearest))  # 0 has no sign


class Figure(dict):
  """One figure: "value", and "low" and "high" where it has an interval."""

  def __format__(self, spec: str) -> str:
    """By "DECIMALS", "%" for hundredths, a unit, and "±" for the interval: "2% %±" is 99.91 % [99.80, 100.00]."""
    decimals, percent, unit, interval = re.fullmatch(r"(\d)(%?)(.*?)(±?)", spec).groups()
    value, low, high = (
      rounded(self[end], int(decimals), 100 if percent else 1) if end in self else None
      for end in ("value", "low", "high")
    )
    return f"{value}{unit} [{low}, {high}]" if interval else f"{value}{unit}"


class Result(dict):
  """The figures of one file by name; `seeds`: how many; `minutes`: of the shortest and the longest training."""

  def __init__(self, file: pathlib.Path):
    there = json.loads(file.read_text(encoding="utf-8"))
    super().__init__({name: Figure(figure) for name, figure in there["metrics"].items()})
    self.made = there.get("made", {})

  @property
  def seeds(self) -> int:
    return len(self.made["seeds"])

  @property
  def minutes(self) -> str:
    ends = min(self.made["minutes"]), max(self.made["minutes"])
    return " to ".join(dict.fromkeys(rounded(minutes, 0) for minutes in ends))


def results() -> dict[str, Result]:
  """All results, by the names that a placeholder has."""
  files = {file.stem: file for file in RESULTS.glob("*.json")}
  files |= {file.parent.name: file for file in ROOT.glob("tfdisent/models/*/metrics_validation.json")}
  return {name: Result(file) for name, file in sorted(files.items())}


def templates() -> list[tuple[str, str]]:
  """The page and the text of each table that has placeholders."""
  return re.findall(r"<!-- (\S+) -->\n((?:\|.*\n)+)", TEMPLATES.read_text(encoding="utf-8"))


def with_table(page: str, template: str, named: dict[str, Result]) -> str:
  """A page whose table, which begins as the template does up to its first placeholder, is made anew."""
  before, found, after = page.partition(template[: template.index("{")])
  if not found:
    raise LookupError(f"a page has no table that begins with {found!r}: see {TEMPLATES.name}")
  return before + template.format_map(named) + after[after.index("\n\n") + 1 :]


def main():
  named = results()
  for file, template in templates():
    page = ROOT / file
    page.write_text(with_table(page.read_text(encoding="utf-8"), template, named), encoding="utf-8")


if __name__ == "__main__":
  main()

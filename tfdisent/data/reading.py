"""Reads a table from a file: CSV as programs write it, JSON lines and arrays, Excel, Parquet.

| suffix | what is read |
|---|---|
| .csv .tsv .txt | rows by the standard (RFC 4180), separated by commas, semicolons, tabs or bars, whichever fits its first rows |
| .json .jsonl .ndjson | an object in each line, an array of objects, or an object of columns |
| .xlsx .xls .xlsm .ods | the first sheet, by pandas |
| .parquet .feather | by pandas |

Texts are UTF-8, UTF-16 or UTF-32; what is none of these is read as Windows-1252, with a warning.
"""  # noqa: E501 (a table)

import codecs
import collections
import csv
import io
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tfdisent.errors import ConfigError, DataError

JSON_SUFFIXES = (".jsonl", ".json", ".ndjson")
SHEET_SUFFIXES, FRAME_SUFFIXES = (".xlsx", ".xls", ".xlsm", ".ods"), (".parquet", ".feather")
TABLE_SUFFIXES = (".csv", ".tsv", *JSON_SUFFIXES, *SHEET_SUFFIXES, *FRAME_SUFFIXES)
MOST_TORN = 0.1
"""Of more rows that do not fit the header than this, the whole table is taken to be broken."""
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
ROWS_SNIFFED = 20

_MARKS = (  # the longer ones first: that of UTF-32 begins as that of UTF-16
  (codecs.BOM_UTF32_LE, "utf-32"),
  (codecs.BOM_UTF32_BE, "utf-32"),
  (codecs.BOM_UTF16_LE, "utf-16"),
  (codecs.BOM_UTF16_BE, "utf-16"),
)
_NO_TEXT = {b"PK\x03\x04": "an Excel file or an archive", b"\x1f\x8b": "a compressed file", b"PAR1": "a Parquet file"}


class Table(NamedTuple):
  """The columns of a table, and where its rows are.

  Attributes:
    path: the file; None for a data frame.
    columns: for each column its N values: texts of CSV, and texts, numbers, booleans or None of other formats.
    numbers: the number of each row in the file, from 1, [N].
    lines: the line in which each row begins, from 1, [N]; None where rows have no lines.
    notes: for people, how the file was read.
    warnings: for people, what of it may be wrong.
  """

  path: pathlib.Path | None
  columns: dict[str, list]
  numbers: list[int]
  lines: list[int | None]
  notes: tuple[str, ...] = ()
  warnings: tuple[str, ...] = ()

  def where(self, row: int) -> str:
    """The words for a row, counted from 0: "row 6 (line 7) of people.csv"."""
    line = f" (line {self.lines[row]})" if self.lines[row] else ""
    return f"row {self.numbers[row]}{line}" + (f" of {self.path.name}" if self.path else "")

  def rows(self, rows: Sequence[int]) -> "Table":
    """The table of some rows, counted from 0."""
    pick = lambda values: [values[row] for row in rows]  # noqa: E731
    columns = {name: pick(values) for name, values in self.columns.items()}
    return self._replace(columns=columns, numbers=pick(self.numbers), lines=pick(self.lines))


def read_table(path: pathlib.Path, torn: str = "drop") -> Table:
  """The table of a file.

  Args:
    path: the file; its suffix tells what it is.
    torn: what happens to rows of CSV that do not have one value for each column, of which there is a warning: "keep"
      takes what they have of the columns, "drop" leaves them out. If they are more than a tenth, they are refused.

  Raises:
    DataError: the table cannot be read, or has no rows; the message names the row, the line and the column.
  """
  suffix = path.suffix.lower()
  if suffix in (*SHEET_SUFFIXES, *FRAME_SUFFIXES):
    return _of_cells(path, _sheet(path), torn) if suffix in SHEET_SUFFIXES else of_frame(_by_pandas(path), path)
  text, warnings = _text(path)
  if suffix in JSON_SUFFIXES:
    return _of_rows(path, _json_rows(text, path))._replace(warnings=warnings)
  separator, text, skipped = _separator(text, suffix)
  table = _of_cells(path, _cells(text, separator, path, skipped), torn)
  notes = (f"the columns of {path.name} are separated by {SEPARATORS[separator]}",) if separator != "," else ()
  return table._replace(notes=notes, warnings=warnings + table.warnings)


def of_frame(frame, path: pathlib.Path | None = None) -> Table:
  """The table of a data frame of pandas; raises `ConfigError` if it is none."""
  if not hasattr(frame, "columns") or not hasattr(frame, "iloc"):
    raise ConfigError(f"a data frame of pandas is needed, not a {type(frame).__name__}.")
  names = [str(name) for name in frame.columns]
  _refuse_twice(names, path or "the data frame")
  if not len(frame) or not names:
    raise DataError(f"{path or 'the data frame'} has no rows with named columns.")
  columns = {name: frame.iloc[:, i].to_numpy() for i, name in enumerate(names)}
  return Table(path, columns, [*range(1, len(frame) + 1)], [None] * len(frame))


def _text(path: pathlib.Path) -> tuple[str, tuple[str, ...]]:
  """What a text file says, and a warning if its encoding had to be guessed."""
  try:
    content = path.read_bytes()
  except (OSError, ValueError) as error:  # ValueError: a NUL in its name
    raise DataError(f"the table {path} cannot be read: {error}.") from error
  if kind := next((kind for start, kind in _NO_TEXT.items() if content.startswith(start)), None):
    raise DataError(f"the table {path} is {kind}, and no text: give it the suffix that it should have, or unpack it.")
  encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8-sig")
  if encoding == "utf-8-sig" and 0 in content[:2]:  # ASCII in two bytes each
    encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
  try:
    return content.decode(encoding), ()
  except UnicodeDecodeError as error:
    if encoding != "utf-8-sig":
      raise DataError(f"the table {path} cannot be read as {encoding} ({error}): save it as UTF-8.") from error
    line = len(re.findall(rb"\r\n|\r|\n", content[: error.start])) + 1
  try:
    text = content.decode("cp1252")
  except UnicodeDecodeError:
    text = content.decode("latin-1")
  return text, (f"{path.name} is not UTF-8 (line {line}), and is read as Windows-1252 (Latin-1): save it as UTF-8",)


# --- CSV --------------------------------------------------------------------------------------------------------------


def _separator(text: str, suffix: str) -> tuple[str, str, int]:
  """What separates the columns of a CSV text, the text itself, and how many lines before it were cut off."""
  if said := re.match(r"sep=([,;|\t])(?:\r\n|\r|\n)", text):  # as Excel writes it
    return said[1], text[said.end() :], 1

  def fit(separator):
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    counts = []
    try:
      for row in rows:
        counts += [len(row)] if row else []
        if len(counts) == ROWS_SNIFFED:
          break
    except csv.Error:  # is told by `_cells`
      pass
    header = counts[0] if counts else 0
    return header > 1, header > 1 and counts.count(header) / len(counts), header

  return max("\t,;|" if suffix == ".tsv" else ",;\t|", key=fit), text, 0


def _cells(text: str, separator: str, path: pathlib.Path, skipped: int) -> Iterator[tuple[int, list[str]]]:
  """The line in which each row of a CSV text begins, and its cells. A row ends with CR, LF or CRLF."""
  reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
  row = 0
  while True:
    line = reader.line_num + skipped + 1
    try:
      cells = next(reader)
    except StopIteration:
      return
    except csv.Error as error:
      where = f"row {row} (line {line})" if row else f"the header (line {line})"
      raise DataError(
        f"{where} of the table {path} cannot be read: a quote in it is not closed, or something follows the quote "
        f"that closes it ({error})."
      ) from error
    if cells:  # a blank line has none
      row += 1
      yield line, cells


def _of_cells(path: pathlib.Path, cells: Iterator[tuple[int, list]], torn: str) -> Table:
  """The table of rows of cells, of which the first is the header."""
  header, *rows = [*cells] or [(0, [])]
  names = [str("" if name is None else name).strip() for name in header[1]]
  is_blank = lambda cell: cell is None or cell == "" or cell != cell  # noqa: E731, PLR0124 (NaN)
  while (
    names and not names[-1] and all(map(is_blank, (row[len(names) - 1] for _, row in rows if len(row) >= len(names))))
  ):
    names.pop()  # commas at the end of each line
  _refuse_twice(names, path)
  for _, row in rows:
    while len(row) > len(names) and is_blank(row[-1]):
      row.pop()
  wrong = [number for number, (_, row) in enumerate(rows) if len(row) != len(names)]
  said = ()
  if wrong:
    line, row = rows[wrong[0]]
    where, lacks = f"row {wrong[0] + 1} (line {line})", f"it has {len(row)} values for the {len(names)} columns"
    if len(wrong) > MOST_TORN * len(rows):
      raise DataError(
        f"{where} of {path} does not have one value for each column of the header: {lacks} {', '.join(names)}"
        + (f", and {len(wrong) - 1} other rows are like it." if len(wrong) > 1 else ".")
      )
    is_kept = "are read as far as they go" if torn == "keep" else "are left out"
    said = (
      f"{len(wrong)} rows of {path.name} do not have one value for each column, and {is_kept}; the first is {where}: "
      f"{lacks}",
    )
  left_out = {*wrong} if torn == "drop" else ()
  kept = [number for number in range(len(rows)) if number not in left_out]
  if not kept or not names:
    raise DataError(f"the table {path} has no rows with named columns.")
  cell = lambda row, i: row[i] if i < len(row) else None  # noqa: E731
  columns = {name: [cell(rows[number][1], i) for number in kept] for i, name in enumerate(names)}
  return Table(path, columns, [number + 1 for number in kept], [rows[number][0] for number in kept], (), said)


def _refuse_twice(names: Sequence[str], table) -> None:
  if twice := [name for name, count in collections.Counter(names).items() if count > 1]:
    places = [str(place) for place, name in enumerate(names, 1) if name == twice[0]]
    raise DataError(f"{table} has {len(places)} columns called '{twice[0]}' ({', '.join(places)}): rename all but one.")


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_rows(text: str, path: pathlib.Path) -> list[tuple[int | None, dict]]:
  """The line of each row, if it has one of its own, and the row."""
  whole = _json(text, f"the table {path}", may_fail=not text.lstrip().startswith("["))
  if isinstance(whole, dict) and whole:
    columns = [[*values.values()] if isinstance(values, dict) else values for values in whole.values()]
    if all(isinstance(values, list) for values in columns) and len({*map(len, columns)}) == 1:
      whole = [dict(zip(whole, row)) for row in zip(*columns)]
  if isinstance(whole, list):
    return [(None, row) for row in whole]
  lines = [(number, line) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1) if line.strip()]
  if isinstance(whole, dict):
    return [(lines[0][0], whole)]
  return [
    (number, _json(line, f"row {row} (line {number}) of the table {path}"))
    for row, (number, line) in enumerate(lines, 1)
  ]


def _json(text: str, what: str, may_fail: bool = False):
  def once(pairs):
    if len(pairs) > len(row := dict(pairs)):
      twice = next(name for name, count in collections.Counter(name for name, _ in pairs).items() if count > 1)
      raise DataError(f"{what} has two values of '{twice}'.")
    return row

  try:
    return json.loads(text, object_pairs_hook=once)
  except (ValueError, RecursionError) as error:
    if may_fail and not isinstance(error, DataError):
      return None
    raise error if isinstance(error, DataError) else DataError(f"{what} cannot be read: {error}.") from error


def _of_rows(path: pathlib.Path, rows: list[tuple[int | None, dict]]) -> Table:
  if not rows or not all(isinstance(row, dict) and row for _, row in rows):
    raise DataError(f"the table {path} has no rows with named columns.")
  names = dict.fromkeys(name for _, row in rows for name in row)
  columns = {name: [row.get(name) for _, row in rows] for name in names}
  return Table(path, columns, [*range(1, len(rows) + 1)], [line for line, _ in rows])


# --- pandas -----------------------------------------------------------------------------------------------------------


def _by_pandas(path: pathlib.Path, **arguments):
  """A data frame of the file."""
  suffix = path.suffix.lower()
  try:
    import pandas

    read = {".parquet": pandas.read_parquet, ".feather": pandas.read_feather}.get(suffix, pandas.read_excel)
    return read(path, **arguments)
  except ImportError as error:
    raise DataError(
      f"the table {path} needs pandas, and for Excel openpyxl ({error}): `pip install pandas openpyxl`, or save it as "
      "CSV."
    ) from error
  except Exception as error:  # the readers of pandas raise many types
    first = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
    raise DataError(f"the table {path} cannot be read by pandas: {first}.") from error


def _sheet(path: pathlib.Path) -> Iterator[tuple[int, list]]:
  """The number of each row of the first sheet that is not empty, and its cells; None where one is empty."""
  frame = _by_pandas(path, header=None, dtype=object, keep_default_na=False, na_values=[""])
  for number, cells in enumerate(frame.itertuples(index=False), 1):
    if any(cell == cell for cell in cells):  # noqa: PLR0124 (NaN)
      yield number, [cell if cell == cell else None for cell in cells]  # noqa: PLR0124

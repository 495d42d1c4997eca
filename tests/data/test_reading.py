"""Tables as programs write them: what is read is what was written, or the row and the line are named."""

import csv
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfdisent.data.reading import TABLE_SUFFIXES, Table, of_frame, read_table
from tfdisent.errors import ConfigError, DataError

quickly = settings(
  max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
CELLS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
  [
    '"',
    'a "b" c',
    "two\nlines",
    "two\r\nlines",
    "cr\rcr",
    "a,b;c\td|e",
    "form\x0cfeed",
    "next\x85",
    "line\u2028",
    "Käse",
  ]
)
TABLES = st.integers(2, 4).flatmap(
  lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=8)
)


def written(rows, separator=",", end="\n"):
  text = io.StringIO(newline="")
  csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
  return text.getvalue()


@quickly
@given(
  TABLES,
  st.sampled_from(",;\t|"),
  st.sampled_from(["\n", "\r\n", "\r"]),
  st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"]),
  st.sampled_from([".csv", ".tsv", ".txt"]),
)
def test_what_was_written_as_csv_is_read(tmp_path, rows, separator, end, encoding, suffix):
  header = [f"c{i}" for i in range(len(rows[0]))]
  path = tmp_path / f"t{suffix}"
  path.write_bytes((end + written([header, *rows], separator, end)).encode(encoding))
  table = read_table(path)
  assert table.columns == {name: [row[i] for row in rows] for i, name in enumerate(header)}
  assert table.warnings == () and table.numbers == [*range(1, len(rows) + 1)]
  assert table.notes == (() if separator == "," else (f"the columns of t{suffix} are separated by {NAMES[separator]}",))


NAMES = {";": "semicolons", "\t": "tabs", "|": "bars"}


def test_rows_know_their_lines_whatever_is_in_them(tmp_path):
  (tmp_path / "t.csv").write_text('file,x\n\na,"1\n2"\n\n\nb,3\n"c\n\n",4\nd,5\n')
  table = read_table(tmp_path / "t.csv")
  assert [table.where(i) for i in range(4)] == [
    f"row {row} (line {line}) of t.csv" for row, line in enumerate((3, 7, 8, 11), 1)
  ]
  assert table.rows([3, 1]).columns == {"file": ["d", "b"], "x": ["5", "3"]}
  assert table.rows([3, 1]).where(0) == "row 4 (line 11) of t.csv"


def test_what_is_no_unicode_is_read_as_latin_1_and_told(tmp_path):
  for content in ("file,b\r\n1.png,Käse\r\n".encode("latin-1"), "file,b\r1.png,Käse\r\n".encode("cp1252")):
    (tmp_path / "t.csv").write_bytes(content)
    table = read_table(tmp_path / "t.csv")
    assert table.columns["b"] == ["Käse"]
    assert table.warnings == (
      "t.csv is not UTF-8 (line 2), and is read as Windows-1252 (Latin-1): save it as UTF-8",
    )  # fmt: skip
  (tmp_path / "t.csv").write_bytes(b"\xff\xfea")
  with pytest.raises(DataError, match=r"t.csv cannot be read as utf-16 .*save it as UTF-8"):
    read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
  ("header", "row", "columns"),
  [
    ("file,caption; long; text", "1.png,a", {"file": ["1.png"], "caption; long; text": ["a"]}),
    ("file;x;y", "1.png;1,5;2,5", {"file": ["1.png"], "x": ["1,5"], "y": ["2,5"]}),
    ("sep=;\nfile;x,y", "1.png;2", {"file": ["1.png"], "x,y": ["2"]}),
    ("file", "1.png", {"file": ["1.png"]}),
    (" file , x ", "1.png,2", {"file": ["1.png"], "x": ["2"]}),
    ("file,x,,", "1.png,2,,", {"file": ["1.png"], "x": ["2"]}),
    ("file,x", "1.png,2,,", {"file": ["1.png"], "x": ["2"]}),
    (",file", "0,1.png", {"": ["0"], "file": ["1.png"]}),
  ],
)
def test_headers_as_programs_write_them(header, row, columns, tmp_path):
  (tmp_path / "t.csv").write_text(f"{header}\n{row}\n")
  assert read_table(tmp_path / "t.csv").columns == columns


@quickly
@given(st.integers(2, 12), st.data())
def test_a_quote_that_is_not_closed_is_named_by_row_and_line(tmp_path, count, data):
  broken = data.draw(st.integers(0, count - 1))
  rows = [["1.png", '"two\nlines"'] for _ in range(count)]
  rows[broken][1] = '"open'
  (tmp_path / "t.csv").write_text("file,b\n" + "\n".join(map(",".join, rows)))
  with pytest.raises(DataError, match=rf"^row {broken + 1} \(line {2 * broken + 2}\) of the table .*quote"):
    read_table(tmp_path / "t.csv")


@quickly
@given(st.integers(0, 19), st.sampled_from(["x.png", "x.png,a", "x.png,a,1,2"]))
def test_a_row_that_is_torn_is_told_by_row_and_line(tmp_path, place, torn):
  rows = [f"{i}.png,a,1" for i in range(19)]
  rows.insert(place, torn)
  (tmp_path / "t.csv").write_text("\n".join(["file,b,c", *rows]))
  dropped, kept = read_table(tmp_path / "t.csv"), read_table(tmp_path / "t.csv", torn="keep")
  assert dropped.columns["file"] == [f"{i}.png" for i in range(19)]
  assert kept.columns["file"][place] == "x.png" and len(kept.columns["c"]) == 20
  for table, words in ((dropped, "are left out"), (kept, "are read as far as they go")):
    (warning,) = table.warnings
    assert f"{words}; the first is row {place + 1} (line {place + 2}): it has {torn.count(',') + 1} values" in warning


def test_a_table_of_torn_rows_is_refused(tmp_path):
  (tmp_path / "t.csv").write_text("file,b\n1.png,a\n2.png\n3.png\n")
  words = r"^row 2 \(line 3\) of .*t.csv .*it has 1 values for the 2 columns file, b, and 1 other rows are like it.$"
  for torn in ("drop", "keep"):
    with pytest.raises(DataError, match=words):
      read_table(tmp_path / "t.csv", torn)


@pytest.mark.parametrize(
  ("name", "text", "words"),
  [
    ("t.csv", "file,x,x\n1,2,3\n", r"t.csv has 2 columns called 'x' \(2, 3\): rename all but one"),
    ("t.csv", "", "has no rows with named columns"),
    ("t.csv", "file,b\n", "has no rows with named columns"),
    ("t.csv", 'file,b\n"1"x,2\n', r"row 1 \(line 2\) of the table"),
    ("t.csv", '"file,b\n', r"the header \(line 1\) of the table"),
    ("t.csv", "PK\x03\x04", "is an Excel file or an archive, and no text"),
    ("t.jsonl", '{"a": 1, "a": 2}\n', "has two values of 'a'"),
    ("t.jsonl", '{"a": 1}\n\n{"a"\n', r"row 2 \(line 3\) of the table .* cannot be read"),
    ("t.json", "[1, 2]", "has no rows with named columns"),
    ("t.json", "[" * 100_000, "cannot be read"),
    ("t.json", '[{"a": 1},', "cannot be read"),
  ],
)
def test_a_table_that_cannot_be_read_says_where(name, text, words, tmp_path):
  (tmp_path / name).write_text(text)
  with pytest.raises(DataError, match=words):
    read_table(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.csv", "absent.jsonl", "nul\0.csv"])
def test_a_table_that_is_not_there_is_named(name, tmp_path):
  with pytest.raises(DataError, match=name.replace("\0", r"\\x00") + " cannot be read"):
    read_table(tmp_path / name)


VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-1, 1) | CELLS


@quickly
@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES, min_size=1), min_size=1, max_size=6))
def test_json_is_read_as_lines_as_an_array_and_as_columns(tmp_path, rows):
  names = dict.fromkeys(name for row in rows for name in row)
  expected = {name: [row.get(name) for row in rows] for name in names}
  texts = {
    "lines.jsonl": "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
    "array.json": json.dumps(rows, indent=2),
    "columns.json": json.dumps(expected),
    "pandas.json": json.dumps({name: dict(enumerate(values)) for name, values in expected.items()}),
  }
  for name, text in texts.items():
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    assert read_table(tmp_path / name).columns == expected, name


@quickly
@given(
  st.binary(max_size=60) | st.text('file,";\n\t|[]{}:1\0é', max_size=60).map(str.encode),
  st.sampled_from(TABLE_SUFFIXES),
)
def test_any_bytes_are_a_table_or_an_error_of_ours(tmp_path, content, suffix):
  (tmp_path / f"t{suffix}").write_bytes(content)
  try:
    table = read_table(tmp_path / f"t{suffix}")
  except DataError as error:
    assert f"t{suffix}" in str(error)
  else:
    assert isinstance(table, Table) and {len(values) for values in table.columns.values()} == {len(table.lines)}


# --- pandas ---


def test_parquet_and_feather_are_read_by_pandas(tmp_path):
  pandas = pytest.importorskip("pandas")
  frame = pandas.DataFrame({"file": ["1.png", "2.png"], "n": [1.5, np.nan], "ok": [True, False]})
  frame.to_parquet(tmp_path / "t.parquet")
  frame.to_feather(tmp_path / "t.feather")
  for name in ("t.parquet", "t.feather"):
    table = read_table(tmp_path / name)
    assert table.columns["file"].tolist() == ["1.png", "2.png"] and table.columns["ok"].tolist() == [True, False]
    assert table.where(1) == f"row 2 of {name}"


def test_a_sheet_is_read_as_cells(tmp_path, monkeypatch):
  pandas = pytest.importorskip("pandas")
  asked = {}

  def read_excel(path, **arguments):
    asked.update(arguments)
    cells = [["file", "n", np.nan], [np.nan] * 3, ["1.png", 3, np.nan], ["2.png", np.nan, np.nan]]
    return pandas.DataFrame(cells, dtype=object)

  monkeypatch.setattr(pandas, "read_excel", read_excel)
  table = read_table(tmp_path / "t.xlsx")
  assert asked == {"header": None, "dtype": object, "keep_default_na": False, "na_values": [""]}
  assert table.columns == {"file": ["1.png", "2.png"], "n": [3, None]}
  assert table.where(1) == "row 2 (line 4) of t.xlsx"


def test_without_pandas_it_is_said_what_to_install(tmp_path, monkeypatch):
  monkeypatch.setitem(__import__("sys").modules, "pandas", None)
  with pytest.raises(DataError, match=r"t.xlsx needs pandas, .*pip install pandas openpyxl`, or save it as CSV"):
    read_table(tmp_path / "t.xlsx")


def test_a_frame_of_two_columns_of_one_name_or_of_none_is_refused():
  pandas = pytest.importorskip("pandas")
  with pytest.raises(DataError, match=r"the data frame has 2 columns called 'a'"):
    of_frame(pandas.DataFrame([[1, 2]], columns=["a", "a"]))
  with pytest.raises(DataError, match="the data frame has no rows"):
    of_frame(pandas.DataFrame({"a": []}))
  with pytest.raises(ConfigError, match="a data frame of pandas is needed, not a list"):
    of_frame([])

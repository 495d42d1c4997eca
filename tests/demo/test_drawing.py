import base64
import copy
import io
import re

import numpy as np
import PIL.Image
import pytest

from tests.demo.conftest import HAIR
from tfdisent.data.dataset import Judge
from tfdisent.demo import drawing
from tfdisent.demo.room import Room
from tfdisent.evaluation.small_judges import SmallJudge, SmallJudges
from tfdisent.pictures.sheet import Block, Sheet


@pytest.fixture(scope="module")
def room(every_kind):
  return Room(every_kind)


@pytest.fixture(scope="module")
def judged(room):
  """The model with a judge of one feature, which always reads the same, and one of a hat."""
  one = lambda column, value, names: SmallJudge(  # noqa: E731
    Judge(column, column, "classifier"), lambda x: np.full(len(x), value), names, False, "accuracy", 0.95
  )
  judged = copy.copy(room)
  judged.judges = SmallJudges((one("top_hat", 1, ("none", "<b>")), one("hair", 2, HAIR)), 1234)
  return judged


def look(room):
  codes = room.codes(room.examples[0])
  return room.look(codes, codes.f)


def cells(table):
  return [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row) for row in re.findall("<tr>(.*?)</tr>", table)]


def test_a_table_has_what_is_asked_for_and_what_is_read(room):
  shown = look(room)
  table = cells(drawing.reading(room, shown))
  assert table[0] == ["Feature", "In the source", "Asked for", "In the fusion"] and table[1] == ["model", "model"]
  assert table[2] == ["hair", shown.by_model[0][0], shown.asked[0], shown.by_model[1][0]]
  assert len(table) == 6 and "judge" not in drawing.reading(room, shown)


def test_a_judge_is_read_beside_the_model_and_told_of(judged):
  page = drawing.reading(judged, look(judged))
  table = cells(page)
  assert table[1] == ["model", "judge", "model", "judge"]
  assert (table[2][2], table[2][5]) == ("red", "red") and (table[3][2], table[3][5]) == ("–", "–")
  assert "never together with the model. On 1,234 real images that are new to it: hair right in 95.0 %." in page


def test_what_else_the_judges_read_is_a_table_of_its_own(judged):
  table = cells(drawing.others(judged, look(judged)))
  assert table[1] == ["top hat", "&lt;b&gt;", "&lt;b&gt;", "right in 95.0 %"]


def test_a_donor_stands_between_source_and_fusion(room):
  codes = room.codes(room.examples[1])
  names = lambda donor: re.findall(r'alt="(.*?)"', drawing.images(codes, donor, look(room)))  # noqa: E731
  assert names(None) == ["Source", "The fusion"] and names(codes) == ["Source", "Donor", "The fusion"]


def test_a_picture_is_the_sheet_as_it_is_drawn():
  sheet = Sheet((Block([[np.full([8, 8, 3], 200, np.uint8)]]),), "A <grey> square.")
  shown = drawing.picture(sheet)
  (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)" alt="A &lt;grey&gt; square."', shown)
  np.testing.assert_array_equal(PIL.Image.open(io.BytesIO(base64.b64decode(encoded))), sheet.draw())

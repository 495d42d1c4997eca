"""`next`, a batch ahead."""

import threading

import pytest

from tfdisent.model.ahead import Ahead


def test_items_come_in_their_order_to_the_last():
  ahead, items = Ahead(), iter(range(3))
  assert [ahead.next(items) for _ in range(3)] == [0, 1, 2]
  assert ahead.next(items, "ended") == "ended"
  with pytest.raises(StopIteration):
    ahead.next(items)
  assert ahead.next(iter("a")) == "a"


def test_the_next_item_is_made_meanwhile():
  made, ahead = threading.Event(), Ahead()

  def items():
    yield 0
    made.set()
    yield 1

  iterator = items()
  assert ahead.next(iterator) == 0 and made.wait(10)
  assert ahead.next(iterator) == 1


def test_an_error_is_that_of_the_item():
  def items():
    yield 0
    raise OSError("image 7 is gone")

  ahead, iterator = Ahead(), items()
  assert ahead.next(iterator) == 0
  with pytest.raises(OSError, match="image 7 is gone"):
    ahead.next(iterator)

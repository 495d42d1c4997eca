"""The batch of the next step, asked for while a step runs."""

import concurrent.futures
from collections.abc import Iterator
from typing import Any


class Ahead:
  """`next` that asks for the item after the one it gives, in a thread of its own.

  An iterator of TensorFlow takes up to a millisecond for a batch that is ready: most of it is the call, which this
  hides behind the step. It is for one iterator at a time: of the last one, an item may be lost that was asked for.
  """

  def __init__(self):
    self._iterator, self._coming = None, None
    self._thread = concurrent.futures.ThreadPoolExecutor(1, "next batch")

  def next(self, iterator: Iterator, *default: Any) -> Any:
    """Python's `next`."""
    if self._coming is None or iterator is not self._iterator:
      self._iterator, self._coming = iterator, self._thread.submit(next, iterator)
    coming, self._coming = self._coming, None
    try:
      item = coming.result()
    except StopIteration:
      if default:
        return default[0]
      raise
    self._coming = self._thread.submit(next, iterator)
    return item

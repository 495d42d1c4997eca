"""What the demo's page shows of a model as HTML: images, what is read in them, and its style.

Images are `data:` addresses, so the server writes no files.
"""

import base64
import html
from collections.abc import Sequence

import numpy as np

from tfdisent.data.pixels import as_png
from tfdisent.demo.room import Codes, Look, Room, label
from tfdisent.pictures import Sheet

STYLE = """
.prose h2 {font-size: var(--text-lg) !important; margin: 0 !important}
.gradio-container > main {max-width: 1400px}
.html-container {padding: 0 !important}
.tfd-images {display: flex; flex-wrap: wrap; gap: 16px}
.tfd-images figure {margin: 0; flex: 1 1 0; min-width: 112px; max-width: 336px}
.tfd-images img, .tfd-picture img {display: block; image-rendering: pixelated; width: 100%; height: auto;
  border-radius: 8px}
.tfd-images figcaption {padding-top: 6px; display: flex; flex-wrap: wrap; gap: 0 12px; justify-content: space-between;
  align-items: baseline}
.tfd-scroll {overflow-x: auto}
.tfd-read {border-collapse: collapse; width: 100%; margin: 0}
.tfd-read, .tfd-read tr {border: none !important}
.tfd-read td, .tfd-read th {padding: 5px 10px 5px 0 !important; text-align: left !important; border: none !important;
  border-bottom: 1px solid var(--border-color-primary) !important; vertical-align: baseline}
.tfd-read th {font-weight: 600 !important}
.tfd-read .tfd-start {padding-left: 10px !important; border-left: 1px solid var(--border-color-primary) !important}
.tfd-word {white-space: nowrap}
.tfd-swatch {display: inline-block; width: 1em; height: 1em; margin-right: 5px; vertical-align: -2px;
  border-radius: 3px; outline: 1px solid var(--border-color-primary)}
.tfd-note {font-size: var(--text-sm); margin: 10px 0 0}
.tfd-part .styler, .tfd-part .form {display: flex !important; flex-flow: row wrap !important; align-items: center;
  background: var(--block-background-fill) !important; border: none !important; gap: 0}
.tfd-part .form {flex: 1 1 100%}
.tfd-part .tfd-color + .form {flex: 0 1 auto}
.tfd-part .tfd-color, .tfd-part .tfd-color label {display: flex; align-items: center; gap: 12px; margin: 0}
.tfd-part .tfd-color span {margin: 0 !important; white-space: nowrap; color: var(--body-text-color)}
.tfd-part .block {flex: 1 1 160px; width: auto !important; min-width: 0 !important; border: none !important}
.tfd-part .tfd-where {flex: 0 1 auto; margin-left: auto !important; padding: 6px var(--block-padding) !important}
.tfd-where .wrap {gap: 0 !important}
.tfd-where label {border: none !important; background: none !important; box-shadow: none !important;
  padding: 2px 12px 2px 0 !important; color: var(--body-text-color) !important; font-size: var(--text-sm)}
.tfd-pick .fixed-height {min-height: 0 !important}
.tfd-pick .grid-container {grid-template: none / repeat(8, minmax(0, 1fr)) !important; grid-auto-rows: auto !important;
  height: auto !important; gap: 6px; padding: 8px}
.tfd-pick .thumbnail-item {aspect-ratio: 1; height: auto; border: none}
.min_value, .max_value, button[role=tab].selected {color: var(--body-text-color) !important}
@media (max-width: 1120px) {
  .tfd-hex {position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%)}
}
@media (max-width: 640px) {
  .tfd-read {font-size: var(--text-sm)}
  .tfd-read td, .tfd-read th {padding-right: 4px !important}
  .tfd-read .tfd-start {padding-left: 5px !important}
  .tfd-where label {padding-right: 8px !important}
  .tfd-where span {margin-left: 4px !important}
  .tfd-pick .grid-container {grid-template-columns: repeat(4, minmax(0, 1fr)) !important}
}
"""


def images(source: Codes, donor: Codes | None, look: Look) -> str:
  """Source, donor and fusion beside one another."""
  fusion = _address(look.image)
  save = f'Fusion <a href="{fusion}" download="fusion.png">save as PNG</a>'
  figures = [(_address(source.image), "Source", "Source")]
  figures += [(_address(donor.image), "Donor", "Donor")] if donor else []
  figures.append((fusion, "The fusion", save))
  return (
    '<div class="tfd-images">'
    + "".join(
      f'<figure><img src="{address}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'
      for address, alt, caption in figures
    )
    + "</div>"
  )


def reading(room: Room, look: Look) -> str:
  """A table of what was asked for, and of what the model and the judges read in the source and in the fusion."""
  of_parts = room.judges_of_parts
  readers = ["model"] if look.by_model else []
  readers += ["judge"] if any(number is not None for number in of_parts) else []
  rows = []
  for part in range(len(room.controls)):
    words = []
    for image in (0, 1):
      of = {"model": look.by_model and look.by_model[image][part]}
      of["judge"] = "–" if of_parts[part] is None else look.by_judges[image][of_parts[part]]
      words.append([of[reader] for reader in readers])
    before, after = words
    rows.append((room.names[part], [*before, look.asked[part], *after]))
  count, start = len(readers), ' class="tfd-start"'
  group = f'<th scope="colgroup" colspan="{count}"{start}>In the {{}}</th>' if count else ""
  names = "".join(
    f'<th scope="col"{start if number == 0 else ""}>{reader}</th>' for number, reader in enumerate(readers)
  )
  head = (
    f'<tr><th scope="col" rowspan="2">Feature</th>{group.format("source")}'
    f'<th scope="col" rowspan="2"{start}>Asked for</th>{group.format("fusion")}</tr><tr>{names}{names}</tr>'
  )
  starts = {0, count, count + 1}
  is_color = [control.kind == "color" for control in room.controls]
  body = "".join(_row(name, words, color, starts) for (name, words), color in zip(rows, is_color))
  return _table(head, body, "What is read of the features") + _about_judges(room)


def others(room: Room, look: Look) -> str:
  """A table of what the judges read besides the features."""
  before, after = look.by_judges
  body = "".join(
    _row(label(one.judge.column), [before[number], after[number], one.right], one.is_color, {0, 1, 2})
    for number, one in ((number, room.judges.judges[number]) for number in room.other_judges)
  )
  names = ("In the source", "In the fusion", "On real images")
  head = "".join(f'<th scope="col" class="tfd-start">{name}</th>' for name in names)
  return _table(f'<tr><th scope="col">Property</th>{head}</tr>', body, "What else the judge sees")


def _about_judges(room: Room) -> str:
  """Who the judges are, and how well they read real images."""
  own = [room.judges.judges[number] for number in room.judges_of_parts if number is not None] if room.judges else []
  if not own:
    return ""
  told = ", ".join(f"{html.escape(label(one.judge.column))} {one.right}" for one in own)
  return (
    '<p class="tfd-note">The judge is another network. It has learned from real images alone, never together with the '
    f"model. On {room.judges.images:,} real images that are new to it: {told}.</p>"
  )


def _row(name: str, words: Sequence[str], is_color: bool, starts: set[int]) -> str:
  cells = "".join(
    f"<td{' class=tfd-start' if number in starts else ''}>{_word(word, is_color)}</td>"
    for number, word in enumerate(words)
  )
  return f'<tr><th scope="row">{html.escape(name)}</th>{cells}</tr>'


def _word(word: str, is_color: bool) -> str:
  if not (is_color and word.startswith("#")):
    return html.escape(word)
  swatch = f'<span class="tfd-swatch" style="background:{word}" aria-hidden="true"></span>'
  return f'<span class="tfd-word">{swatch}<span class="tfd-hex">{word}</span></span>'


def _table(head: str, body: str, name: str) -> str:
  """A table that a narrow page can scroll, by keyboard too."""
  table = f'<table class="tfd-read"><thead>{head}</thead><tbody>{body}</tbody></table>'
  return f'<div class="tfd-scroll" tabindex="0" role="region" aria-label="{name}">{table}</div>'


def picture(sheet: Sheet) -> str:
  """A sheet of pictures, as large as it was drawn, or as wide as the page."""
  pixels = sheet.draw()
  address, alt = _address(pixels), html.escape(sheet.words)
  return f'<div class="tfd-picture" style="max-width:{pixels.shape[1]}px"><img src="{address}" alt="{alt}"></div>'


def _address(image: np.ndarray) -> str:
  """An image, uint8 [H, W, C], as a `data:` address of a PNG."""
  return f"data:image/png;base64,{base64.b64encode(as_png(image)).decode()}"

"""The demo's page: widgets of Gradio around a `Room` for each model.

What a visitor has chosen is kept in the page (`gr.State`), so visitors do not disturb each other. Images are sent as
`data:` addresses, so the server writes no files, except what somebody uploads, which is removed after an hour.
"""

import base64
import functools
import html
from collections.abc import Callable, Sequence

import gradio as gr
import numpy as np

from tfdisent.api import TrainedRun
from tfdisent.controls import Control
from tfdisent.data.pixels import as_png
from tfdisent.demo.room import DONOR, SOURCE, VALUE, Codes, Room
from tfdisent.errors import TfdisentError
from tfdisent.pictures import Sheet

HOUR = 3600
"""Seconds."""
FEW = 6
"""So many classes are buttons, and more of them are a list."""
STYLE = """
.tfd-images {display: flex; flex-wrap: wrap; gap: 16px}
.tfd-images figure {margin: 0; flex: 1 1 128px; max-width: 320px}
.tfd-images img, .tfd-picture img {image-rendering: pixelated; width: 100%; height: auto; border-radius: 4px}
.tfd-images figcaption {padding: 4px 0}
.tfd-color {border: none !important}
.tfd-read {border-collapse: collapse; width: 100%; margin-top: 8px}
.min_value, .max_value, button[role=tab].selected {color: var(--body-text-color) !important}
.tfd-read td, .tfd-read th {padding: 2px 8px 2px 0; text-align: left; border: none}
"""
ORIGINS = [("of the source", SOURCE), ("of the donor", DONOR), ("set here", VALUE)]


def theme() -> gr.themes.Base:
  """The look; its fonts are those of the machine, since nothing is fetched from elsewhere."""
  return gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))


def make(runs: Sequence[tuple[str, TrainedRun]]) -> gr.Blocks:
  """The page, not served yet: a tab for each of the models, `runs`, which are given by their names."""
  with gr.Blocks(title="tfdisent", analytics_enabled=False, delete_cache=(HOUR, HOUR)) as app:
    gr.Markdown(
      "# tfdisent\nAn image x̂ = G(z1, z̃2) has everything of its source but the features, which you set or take from "
      "a donor."
    )
    if len(runs) == 1:
      Tab(*runs[0])
    else:
      with gr.Tabs():
        for name, trained in runs:
          with gr.Tab(name):
            Tab(name, trained)
  return app


class Tab:
  """The widgets of one model, and what happens when they are used.

  Args:
    name: of the model.
    trained: the model.
  """

  def __init__(self, name: str, trained: TrainedRun):
    self.room = room = Room(trained)
    self.controls, self.names = room.controls, [control.name for control in room.controls]
    start, other = room.codes(room.examples[0]), room.codes(room.examples[-1])
    values = room.values_of(start.f) if start.f is not None else [c.of_natural(c.path()[0]) for c in self.controls]
    origin = SOURCE if room.reads else VALUE
    self.source, self.donor = gr.State(start, time_to_live=HOUR), gr.State(other, time_to_live=HOUR)
    with gr.Row():
      with gr.Column(scale=3, min_width=300):
        gr.Markdown(f"## {name}")
        self.note = gr.HTML()
        self.fusion = gr.HTML(_fusion(room, start, other, [origin] * len(values), values))
        self.sources, self.source_upload = _images("Source", room.examples)
        with gr.Row(equal_height=True):
          self.seed = gr.Number(0, label="Seed of z1", precision=0, minimum=0, maximum=2**31 - 1, min_width=120)
          self.prior = gr.Button("Draw z1 from its prior", min_width=160)
      with gr.Column(scale=2, min_width=300):
        gr.Markdown("## Features")
        shown = [_widget(control, value, origin, room.reads) for control, value in zip(self.controls, values)]
        self.fields, self.origins = [fields for fields, _ in shown], [where for _, where in shown]
        with gr.Accordion("A donor of features", open=False, visible=room.reads):
          self.donors, self.donor_upload = _images("Donor", room.examples)
    with gr.Accordion("One feature across its range", open=False):
      self.which = gr.Dropdown(self.names, value=self.names[0], label="Feature", visible=len(self.names) > 1)
      self.across, self.strip = gr.Button("Draw the strip"), gr.HTML()
    with gr.Accordion("Images by images", open=False, visible=room.reads):
      gr.Markdown("Rows keep z1 of the image at their left, columns have the features of the image above.")
      self.by_images, self.grid = gr.Button("Draw the grid"), gr.HTML()
    self.connect()

  def connect(self) -> None:
    """Lets every widget be answered."""
    flat = [field for fields in self.fields for field in fields]
    chosen = [self.source, self.donor, *self.origins, *flat]
    for number, fields in enumerate(self.fields):
      for field in fields:
        _on(field.input, functools.partial(self.set_part, number), chosen, [self.fusion, self.origins[number]])
    for origin in self.origins:
      _on(origin.input, self.show, chosen, self.fusion)
    for take, choice, upload, outputs in (
      (self.take_source, self.sources, self.source_upload, [self.source, *flat, self.fusion]),
      (self.take_donor, self.donors, self.donor_upload, [self.donor, *self.origins, self.fusion]),
    ):
      _on(choice.select, _selected(self.room, take), chosen, outputs)
      answer = functools.partial(self.upload, take, len(outputs))
      _on(upload.upload, answer, [upload, *chosen], [*outputs, self.note])
    _on(self.prior.click, self.draw_prior, [self.seed, *chosen], [self.source, *flat, self.fusion])
    _on(self.across.click, self.draw_strip, [self.which, *chosen], self.strip)
    _on(self.by_images.click, self.draw_grid, None, self.grid)

  # --- What answers a visitor. `chosen` are the values of: source, donor, the origin of each part, all fields. ---

  def read(self, chosen: Sequence) -> tuple[Codes, Codes, list[str], list]:
    """(source, donor, origins, values of the controls)."""
    source, donor, *rest = chosen
    count = len(self.controls)
    return source, donor, list(rest[:count]), _values(self.controls, rest[count:])

  def show(self, *chosen):
    return _fusion(self.room, *self.read(chosen))

  def set_part(self, number: int, *chosen):
    source, donor, origins, values = self.read(chosen)
    origins[number] = VALUE
    return _fusion(self.room, source, donor, origins, values), VALUE

  def take_source(self, source: Codes, chosen: Sequence):
    """Another source: controls that follow it show its values."""
    _, donor, origins, values = self.read(chosen)
    if source.f is not None:
      new = self.room.values_of(source.f)
      values = [now if origin == VALUE else of for origin, now, of in zip(origins, values, new)]
    return source, *_fields(self.controls, values), _fusion(self.room, source, donor, origins, values)

  def take_donor(self, donor: Codes, chosen: Sequence):
    """Another donor, which gives all of its features."""
    source, _, origins, values = self.read(chosen)
    origins = [DONOR] * len(origins)
    return donor, *origins, _fusion(self.room, source, donor, origins, values)

  def upload(self, take: Callable, count: int, file: str, *chosen):
    """`take` of a file, whose `count` outputs stay as they are if it is no image; and a note that says so."""
    try:
      return *take(self.room.codes(file), chosen), ""
    except TfdisentError as error:
      return *[gr.skip()] * count, f'<p role="alert">{html.escape(str(error))}</p>'

  def draw_prior(self, seed: int | None, *chosen):
    return self.take_source(self.room.prior(seed or 0, chosen[0].f), chosen)

  def draw_strip(self, part: str, *chosen):
    source, donor, origins, values = self.read(chosen)
    f = self.room.feature_of(source, donor, origins, values)
    return _picture(self.room.strip(source.z1, f, self.names.index(part)))

  def draw_grid(self):
    return _picture(self.room.grid())


def _on(event: Callable, function: Callable, inputs, outputs) -> None:
  """Lets `function` answer an event at once; of events that come faster than answers, the last one counts."""
  event(
    function, inputs, outputs, queue=False, show_progress="hidden", trigger_mode="always_last", api_visibility="private"
  )


def _images(what: str, examples: Sequence[np.ndarray]) -> tuple[gr.Gallery, gr.UploadButton]:
  with gr.Row(equal_height=True):
    gr.Markdown(f"### {what}")
    upload = gr.UploadButton(f"{what}: use an image of yours", file_types=["image"], size="sm", min_width=160)
  gallery = gr.Gallery(
    [image if image.shape[2] == 3 else np.repeat(image, 3, 2) for image in examples],
    label=f"{what}: choose an image",
    show_label=False,
    columns=8,
    height=110,
    object_fit="contain",
    allow_preview=False,
    interactive=False,
    format="png",
    buttons=[],
    elem_classes=f"tfd-{what.lower()}s",
  )
  return gallery, upload


def _widget(control: Control, value, origin: str, reads: bool) -> tuple[list, gr.Radio]:
  """The fields of a control, and the choice of where its value comes from."""
  with gr.Group():
    if control.kind == "choice" and len(control.choices) <= FEW:
      fields = [gr.Radio(list(control.choices), value=value, label=control.name)]
    elif control.kind == "choice":
      fields = [gr.Dropdown(list(control.choices), value=value, label=control.name)]
    elif control.kind == "check":
      fields = [gr.Checkbox(value=value, label=control.name)]
    elif control.kind == "color":
      fields = [gr.ColorPicker(value=value, label=control.name, elem_classes="tfd-color")]
    else:
      fields = [
        gr.Slider(
          slider.low,
          slider.high,
          value=number,
          step=slider.step,
          label=" ".join(filter(None, (control.name, slider.label, f"({slider.unit})" if slider.unit else ""))),
        )
        for slider, number in zip(control.sliders, value)
      ]
    where = gr.Radio(
      ORIGINS, value=origin, label=f"{control.name}: where it comes from", show_label=False, visible=reads
    )
  return fields, where


def _values(controls: Sequence[Control], fields: Sequence) -> list:
  """The values of controls, of those of all their fields."""
  rest, values = list(fields), []
  for control in controls:
    count = len(control.sliders) or 1
    own, rest = rest[:count], rest[count:]
    values.append(_hexadecimal(own[0]) if control.kind == "color" else own if control.sliders else own[0])
  return values


def _fields(controls: Sequence[Control], values: Sequence) -> list:
  """The inverse of `_values`."""
  return [one for control, value in zip(controls, values) for one in (value if control.sliders else [value])]


def _hexadecimal(color: str) -> str:
  """A colour as "#rrggbb"; the picker of Gradio also gives "rgba(12.5, 0, 255, 1)"."""
  if color.startswith("#"):
    return color[:7]
  channels = color[color.index("(") + 1 : color.index(")")].split(",")[:3]
  return "#" + "".join(f"{round(min(255.0, max(0.0, float(channel)))):02x}" for channel in channels)


def _selected(room: Room, take: Callable) -> Callable:
  def select(event: gr.SelectData, *arguments):
    return take(room.codes(room.examples[event.index]), arguments)

  return select


def _fusion(room: Room, source: Codes, donor: Codes, origins: Sequence[str], values: Sequence) -> str:
  """Source, donor and fusion, and what the model reads in them, as HTML."""
  f = room.feature_of(source, donor, origins, values)
  image = room.fusion(source.z1, f)
  images = [("Source", source.image), *([("Donor", donor.image)] if DONOR in origins else [])]
  address = _address(image)
  figures = "".join(_figure(one, name, name) for name, one in images)
  save = f'Fusion <a href="{address}" download="fusion.png">(save as PNG)</a>'
  figures += f'<figure><img src="{address}" alt="The fusion"><figcaption>{save}</figcaption></figure>'
  read = room.reading(image)
  rows = [room.words_of(f), *([room.words_of(read)] if read is not None else [])]
  columns = ["Feature", "Asked for", "Read in the fusion"][: len(rows) + 1]
  head = "".join(f'<th scope="col">{column}</th>' for column in columns)
  body = "".join(
    f'<tr><th scope="row">{html.escape(control.name)}</th>'
    + "".join(f"<td>{_swatch(control, word)}{html.escape(word)}</td>" for word in words)
    + "</tr>"
    for control, *words in zip(room.controls, *rows)
  )
  return f'<div class="tfd-images">{figures}</div><table class="tfd-read"><tr>{head}</tr>{body}</table>'


def _figure(image: np.ndarray, caption: str, alt: str) -> str:
  return f'<figure><img src="{_address(image)}" alt="{alt}"><figcaption>{caption}</figcaption></figure>'


def _swatch(control: Control, word: str) -> str:
  style = f"display:inline-block;width:1em;height:1em;margin-right:4px;vertical-align:-2px;background:{word}"
  return f'<span style="{style}" aria-hidden="true"></span>' if control.kind == "color" else ""


def _picture(sheet: Sheet) -> str:
  pixels = sheet.draw()
  address, alt = _address(pixels), html.escape(sheet.words)
  return f'<div class="tfd-picture" style="max-width:{pixels.shape[1]}px"><img src="{address}" alt="{alt}"></div>'


def _address(image: np.ndarray) -> str:
  """An image, uint8 [H, W, C], as a `data:` address of a PNG."""
  return f"data:image/png;base64,{base64.b64encode(as_png(image)).decode()}"

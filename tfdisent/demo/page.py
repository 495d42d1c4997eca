"""The demo's page: widgets of Gradio around a `Room` for each model.

What a visitor has chosen is kept in the page (`gr.State`), so visitors do not disturb each other. The server writes no
files, except what somebody uploads, which is removed after an hour. `drawing.py` makes what is shown of a model.
"""

import functools
import html
from collections.abc import Callable, Sequence

import gradio as gr
import numpy as np

from tfdisent.api import TrainedRun
from tfdisent.controls import Control
from tfdisent.demo import drawing
from tfdisent.demo.room import DONOR, SOURCE, VALUE, Codes, Room
from tfdisent.errors import TfdisentError

HOUR = 3600
"""Seconds."""
FEW = 6
"""So many classes are buttons, and more of them are a list."""
ORIGINS = [("from source", SOURCE), ("from donor", DONOR), ("set here", VALUE)]
"""Where a part of the feature comes from, in words."""


def theme() -> gr.themes.Base:
  """The look; its fonts are those of the machine, since nothing is fetched from elsewhere."""
  return gr.themes.Default(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))


def make(runs: Sequence[tuple[str, TrainedRun]]) -> gr.Blocks:
  """The page, not served yet: a tab for each of the models, `runs`, which are given by their names."""
  with gr.Blocks(title="tfdisent", analytics_enabled=False, delete_cache=(HOUR, HOUR), fill_width=True) as app:
    gr.Markdown(
      "# tfdisent\nTake an image and turn its features. The fusion x̂ = G(z1, z̃2) keeps all the rest of its source."
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
    self.controls = room.controls
    start, other = room.codes(room.examples[0]), room.codes(room.examples[-1])
    values = room.values_of(start.f) if start.f is not None else [c.of_natural(c.path()[0]) for c in self.controls]
    origin = SOURCE if room.reads else VALUE
    self.source, self.donor = gr.State(start, time_to_live=HOUR), gr.State(other, time_to_live=HOUR)
    shown = self.show_all(start, other, [origin] * len(values), values)
    self.times = gr.Number(0, visible="hidden")  # so often something was set here
    with gr.Row():
      with gr.Column(min_width=300):
        self.note = gr.HTML(visible=False)
        self.images = gr.HTML(shown[0])
        self.sources, self.source_upload = _images("Source", room.examples)
        with gr.Accordion("A new source", open=False), gr.Row(equal_height=True):
          self.seed = gr.Number(0, label="Seed of z1", precision=0, minimum=0, maximum=2**31 - 1, min_width=120)
          self.prior = gr.Button("Draw z1 from its prior", min_width=160)
        with gr.Accordion("A donor of features", open=False, visible=room.reads):
          self.donors, self.donor_upload = _images("Donor", room.examples)
      with gr.Column(min_width=300):
        gr.Markdown("## Features")
        widgets = [_widget(*one, origin, room.reads) for one in zip(room.names, self.controls, values)]
        self.fields, self.origins = [fields for fields, _ in widgets], [where for _, where in widgets]
        gr.Markdown("## What is read in the images")
        self.reading = gr.HTML(shown[1])
        with gr.Accordion("What else the judge sees", open=False, visible=bool(room.other_judges)):
          self.others = gr.HTML(shown[2])
    self.shown = [self.images, self.reading, self.others]
    with gr.Accordion("One feature across its range", open=False):
      self.which = gr.Dropdown(room.names, value=room.names[0], label="Feature", visible=len(room.names) > 1)
      self.across, self.strip = gr.Button("Draw the strip"), gr.HTML()
    with gr.Accordion("Images by images", open=False, visible=room.reads):
      gr.Markdown("Rows keep z1 of the image at their left, columns have the features of the image above.")
      self.by_images, self.grid = gr.Button("Draw the grid"), gr.HTML()
    self.connect()

  def connect(self) -> None:
    """Lets every widget be answered."""
    flat = [field for fields in self.fields for field in fields]
    chosen = [self.source, self.donor, *self.origins, *flat]
    set_here = f"(times) => ['{VALUE}', times + 1]"
    for number, fields in enumerate(self.fields):
      told = [self.origins[number], self.times]
      for field in fields:
        # At once: what is used next must not be told that this part still comes from elsewhere.
        field.input(None, self.times, told, js=set_here, queue=False, api_visibility="private")
        if self.controls[number].kind == "color":  # its text has no event `input`
          _on(field.change, functools.partial(self.set_color, number), [self.times, *chosen], told)
    # One event for all: of answers to several, an earlier one could come last, and stay. It is not the fields' own one:
    # Gradio repeats all that an event does once an answer was late, and would undo "from source", chosen meanwhile.
    changes = [origin.change for origin in self.origins] + [self.times.change]
    _on(functools.partial(gr.on, changes), self.show, chosen, self.shown)
    for take, choice, upload, outputs in (
      (self.take_source, self.sources, self.source_upload, [self.source, *flat, *self.shown]),
      (self.take_donor, self.donors, self.donor_upload, [self.donor, *self.origins, *self.shown]),
    ):
      _on(choice.select, _selected(self.room, take), chosen, [*outputs, self.note])
      answer = functools.partial(self.upload, take, len(outputs))
      _on(upload.upload, answer, [upload, *chosen], [*outputs, self.note])
    _on(self.prior.click, self.draw_prior, [self.seed, *chosen], [self.source, *flat, *self.shown])
    _on(self.across.click, self.draw_strip, [self.which, *chosen], self.strip)
    _on(self.by_images.click, self.draw_grid, None, self.grid)

  # --- What answers a visitor. `chosen` are the values of: source, donor, the origin of each part, all fields. ---

  def read(self, chosen: Sequence) -> tuple[Codes, Codes, list[str], list]:
    """(source, donor, origins, values of the controls)."""
    source, donor, *rest = chosen
    count = len(self.controls)
    return source, donor, list(rest[:count]), _values(self.controls, rest[count:])

  def show_all(self, source: Codes, donor: Codes, origins: Sequence[str], values: Sequence) -> tuple[str, str, str]:
    """The images, what is read in them, and what else the judges see."""
    look = self.room.look(source, self.room.feature_of(source, donor, origins, values))
    others = drawing.others(self.room, look) if self.room.other_judges else ""
    donor = donor if DONOR in origins else None
    return drawing.images(source, donor, look), drawing.reading(self.room, look), others

  def show(self, *chosen):
    return self.show_all(*self.read(chosen))

  def set_color(self, number: int, times: float, *chosen):
    """Where a colour comes from once it has changed: set here, unless it is only shown, since it is the source's."""
    source, _, origins, values = self.read(chosen)
    if origins[number] != VALUE and source.f is not None and values[number] == self.room.values_of(source.f)[number]:
      return gr.skip(), gr.skip()
    return VALUE, times + 1

  def take_source(self, source: Codes, chosen: Sequence):
    """Another source: controls that follow it show its values."""
    _, donor, origins, values = self.read(chosen)
    if source.f is not None:
      new = self.room.values_of(source.f)
      values = [now if origin == VALUE else of for origin, now, of in zip(origins, values, new)]
    return source, *_fields(self.controls, values), *self.show_all(source, donor, origins, values)

  def take_donor(self, donor: Codes, chosen: Sequence):
    """Another donor, which gives all of its features."""
    source, _, origins, values = self.read(chosen)
    origins = [DONOR] * len(origins)
    return donor, *origins, *self.show_all(source, donor, origins, values)

  def upload(self, take: Callable, count: int, file: str, *chosen):
    """`take` of a file, whose `count` outputs stay as they are if it is no image; and a note that says so."""
    try:
      return *take(self.room.codes(file), chosen), gr.update(visible=False)
    except TfdisentError as error:
      note = f'<p role="alert">{html.escape(str(error))}</p>'
      return *[gr.skip()] * count, gr.update(value=note, visible=True)

  def draw_prior(self, seed: int | None, *chosen):
    return self.take_source(self.room.prior(seed or 0, chosen[0].f), chosen)

  def draw_strip(self, part: str, *chosen):
    source, donor, origins, values = self.read(chosen)
    f = self.room.feature_of(source, donor, origins, values)
    return drawing.picture(self.room.strip(source.z1, f, self.room.names.index(part)))

  def draw_grid(self):
    return drawing.picture(self.room.grid())


def _on(event: Callable, function: Callable, inputs, outputs) -> None:
  """Lets `function` answer an event at once; of events that come faster than answers, the last one counts."""
  event(
    function, inputs, outputs, queue=False, show_progress="hidden", trigger_mode="always_last", api_visibility="private"
  )


def _images(what: str, examples: Sequence[np.ndarray]) -> tuple[gr.Gallery, gr.UploadButton]:
  with gr.Row(equal_height=True):
    gr.Markdown(f"## {what}")
    upload = gr.UploadButton(f"{what}: use an image of yours", file_types=["image"], size="sm", min_width=160)
  gallery = gr.Gallery(
    [image if image.shape[2] == 3 else np.repeat(image, 3, 2) for image in examples],
    label=f"{what}: choose an image",
    show_label=False,
    object_fit="contain",
    allow_preview=False,
    interactive=False,
    format="png",
    buttons=[],
    elem_classes=["tfd-pick", f"tfd-{what.lower()}s"],
  )
  return gallery, upload


def _widget(name: str, control: Control, value, origin: str, reads: bool) -> tuple[list, gr.Radio]:
  """The fields of a control, and the choice of where its value comes from."""
  with gr.Group(elem_classes="tfd-part"):
    if control.kind == "choice" and len(control.choices) <= FEW:
      fields = [gr.Radio(list(control.choices), value=value, label=name)]
    elif control.kind == "choice":
      fields = [gr.Dropdown(list(control.choices), value=value, label=name)]
    elif control.kind == "check":
      fields = [gr.Checkbox(value=value, label=name)]
    elif control.kind == "color":
      fields = [gr.ColorPicker(value=value, label=name, elem_classes="tfd-color")]
    else:
      fields = [
        gr.Slider(
          slider.low,
          slider.high,
          value=number,
          step=slider.step,
          label=" ".join(filter(None, (name, slider.label, f"({slider.unit})" if slider.unit else ""))),
        )
        for slider, number in zip(control.sliders, value)
      ]
    where = gr.Radio(
      ORIGINS,
      value=origin,
      label=f"{name}: where it comes from",
      show_label=False,
      visible=reads,
      elem_classes="tfd-where",
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
    return *take(room.codes(room.examples[event.index]), arguments), gr.update(visible=False)

  return select

"""`report.html`: one file that shows what a run does and how it was measured. It loads nothing from elsewhere."""

import base64
import html
import io
import math
import pathlib
import re
from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tfdisent import __version__, pictures
from tfdisent.data.dataset import Examples
from tfdisent.evaluation.measurement import Metrics
from tfdisent.evaluation.probes import PROBES
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.pictures.words import listed, names_of
from tfdisent.run import write

Curve = dict[int, float]
"""A scalar by step."""

COLORS = {"train": "#1f6f8b", "validation": "#d1495b"}

STYLE = """
:root { color-scheme: light dark; --ink: #1c2026; --paper: #fff; --faint: #5b6572; --wash: #eef1f4; --bar: #1f6f8b;
  --mark: #d1495b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e8ec; --paper: #14171b; --faint: #9ba5b1; --wash: #242a31; --bar: #4a9fbd; --mark: #ff8a9a; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; color: var(--ink);
  background: var(--paper); }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; } details { margin-top: 1rem; overflow-x: auto; }
summary { cursor: pointer; padding: .4rem .6rem; background: var(--wash); border-radius: .3rem; }
summary h2 { display: inline; font-size: 1.1rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .faint { color: var(--faint); }
img { max-width: 100%; display: block; margin: .8rem 0; border-radius: .3rem; }
pre { background: var(--wash); padding: 1rem; overflow-x: auto; }
.track { fill: var(--wash); } .bar { fill: var(--bar); } .mark { stroke: var(--mark); stroke-width: 2; }
"""

MOST_PARTS = 8
"""Parts of f whose pictures are in the report: each takes a megabyte."""


def write_report(
  path: pathlib.Path,
  model: TrainedModel,
  examples: Examples,
  metrics: Metrics,
  curves: Mapping[str, Curve],
  config: str,
  provenance: Mapping[str, object] = MappingProxyType({}),
  worst: bytes | None = None,
) -> None:
  """Writes the report of a run: its pictures, and behind folds its figures.

  Args:
    path: of the HTML file.
    model: for the pictures.
    examples: the split that was measured; the pictures take their images from here.
    metrics: of `evaluate`.
    curves: of `read_curves`.
    config: the configuration as text.
    provenance: of the figures: see `tfdisent.run.provenance`.
    worst: a PNG of the fusions that were judged worst; None for none.
  """
  f = feature_values(model.feature, examples)
  title = pictures.run_words(path.absolute().parent.name, getattr(model, "checkpoint", None))
  sheets = pictures.pictures_of(model, examples, f, title, MOST_PARTS)
  name, feature = html.escape(path.parent.name), html.escape(listed(names_of(model.feature)))
  shown = {
    "Fusions": f"<p>Of images of the split that was measured.</p>{_images(sheets, 'fusion')}{_rest(model)}",
    "Fusions that the judges find worst": _worst(worst),
    "What each feature changes": _images(sheets, "traversal"),
    "Images made again": _images(sheets, "reconstruction"),
    "Curves": _curves(curves),
  }
  folded = {
    "Leakage: f read from z1, and what the probes read elsewhere": _leakage(metrics),
    "Control, by the class that was asked for": _bars(metrics, "control_by_class/"),
    "All figures": _table(metrics),
    "What was measured": _provenance(provenance),
    "Configuration": f"<pre>{html.escape(config)}</pre>",
  }
  pages = "".join(f"<h2>{head}</h2>{content}" for head, content in shown.items() if content)
  folds = "".join(
    f"<details><summary><h2>{head}</h2></summary>{content}</details>" for head, content in folded.items() if content
  )
  write(
    path,
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    f'<meta name="viewport" content="width=device-width"><title>{name}</title><style>{STYLE}</style></head>'
    f"<body><h1>{name}</h1><p>Feature f(x): {feature}. {_reads(provenance)}tfdisent {__version__}.</p>"
    f"{pages}<h2>Figures</h2>"
    f"<p>Intervals are 95 %, over the {len(f)} images of the split: Clopper-Pearson of proportions, else bootstrap. "
    "They hold neither what another seed of the training or of a probe would give, nor that an image is in several "
    f"fusions.</p>{folds}</body></html>\n",
  )


def read_curves(folder: pathlib.Path) -> dict[str, Curve]:
  """Every scalar of the TensorBoard event files that lie in a folder, by tag and step.

  Of a step that was written twice (a training that went on) the later one counts. A file that ends in the middle of a
  record, as after a crash, is read as far as it goes.
  """
  curves: dict[str, Curve] = {}
  files = folder.glob("events.out.tfevents.*")
  # by time, process and number: "….9.v2" before "….10.v2"
  for file in sorted(files, key=lambda file: [int(number) for number in re.findall(r"\d+", file.name)]):
    try:
      for record in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(record.numpy())
        for value in event.summary.value:
          if value.metadata.plugin_data.plugin_name == "scalars":
            curves.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    except tf.errors.DataLossError:
      continue
  return curves


# --- Its parts --------------------------------------------------------------------------------------------------------


def _images(sheets: Mapping[str, pictures.Sheet], kind: str) -> str:
  """The pictures of a kind: of all features, and of each."""
  return "".join(_embedded(sheet.png(), sheet.words) for name, sheet in sheets.items() if name.startswith(kind))


def _rest(model: TrainedModel) -> str:
  more = len(model.feature.parts) - MOST_PARTS
  return f"<p>{more} more features have their pictures in the run folder.</p>" if more > 0 else ""


def _embedded(png: bytes, what: str) -> str:
  return f'<img alt="{html.escape(what)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _worst(png: bytes | None) -> str:
  if not png:
    return ""
  return (
    "<p>Chosen by their figures alone: the asked-for class is least likely, or the error is largest.</p>"
    f"{_embedded(png, 'fusions that are judged worst')}"
  )


def _provenance(provenance: Mapping) -> str:
  rows = {name: value for name, value in provenance.items() if name != "versions"} | provenance.get("versions", {})
  lines = (f"<tr><td>{html.escape(name)}</td><td>{html.escape(str(value))}</td></tr>" for name, value in rows.items())
  return f"<table>{''.join(lines)}</table>" if rows else ""


def _reads(provenance: Mapping) -> str:
  if "test_reads" not in provenance:
    return ""
  return f"Reads of the test split so far: {provenance['test_reads']}. "


def _number(value: float) -> str:
  return f"{value:.4g}" if abs(value) < 0.1 else f"{value:.3f}"


def _interval(figure: Mapping) -> str:
  return f"{_number(figure['low'])} to {_number(figure['high'])}" if "low" in figure else ""


def _leakage(metrics: Metrics) -> str:
  """The six probes, then the worst of them beside chance and the controls; of each part of f.

  The worst is the largest of six scores on the same images, so it lies above the truth rather than below.
  """
  names = [f"{probe}_{kind}" for kind in ("mean", "sample") for probe in PROBES]
  names += ["worst", "worst_all", "image", "chance"]
  names += [f"control_{name}" for name in ("shuffled", "untrained", "plain_vae", "pixels")]
  parts = [key.removesuffix("worst") for key in metrics if key.startswith("leakage/") and key.endswith("/worst")]
  keys = [part + name for part in parts for name in names]
  notes = {key: _note(metrics, key) for key in keys if key in metrics}
  return _bars({key: metrics[key] for key in keys if key in metrics}, "leakage/", notes)


def _note(metrics: Metrics, key: str) -> str:
  """The nats of a figure of leakage, and from how many images its probe learned."""
  is_chance = key.endswith("/chance")
  nats = metrics.get(f"{key.removesuffix('chance')}ceiling_nats" if is_chance else f"{key}_nats")
  notes = [f"{_number(nats['value'])} nats{' tell all' if is_chance else ''}"] if nats else []
  if images := metrics[key].get("probe_images"):
    notes.append(f"learned from {images:,} images")
  return ", ".join(notes)


def _bars(metrics: Metrics, prefix: str, notes: Mapping[str, str] = MappingProxyType({})) -> str:
  """A table of the figures of a prefix with bars from 0 to 1, their intervals as lines, and what is noted of them."""
  lines = []
  for key, figure in metrics.items():
    if key.startswith(prefix):
      value, low, high = (200 * min(1, max(0, figure.get(name, figure["value"]))) for name in ("value", "low", "high"))
      bar = (
        f'<svg width="202" height="14"><rect width="200" height="14" class="track"/>'
        f'<rect width="{value:.1f}" height="14" class="bar"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7" class="mark"/></svg>'
      )
      lines.append(
        f"<tr><td>{html.escape(key.removeprefix(prefix))}</td><td>{bar}</td>"
        f'<td class="number">{_number(figure["value"])}</td><td class="faint">{_interval(figure)}</td>'
        + (f"<td>{notes[key]}</td></tr>" if key in notes else "</tr>")
      )
  return f"<table>{''.join(lines)}</table>" if lines else ""


def _table(metrics: Metrics) -> str:
  lines = []
  for key, figure in sorted(metrics.items()):
    notes = ", ".join(
      f"{name} {what}" for name, what in figure.items() if name not in ("value", "low", "high", "range")
    )
    lines.append(
      f'<tr><td>{html.escape(key)}</td><td class="number">{_number(figure["value"])}</td>'
      f'<td class="faint">{_interval(figure)}</td><td class="faint">{html.escape(notes)}</td></tr>'
    )
  return f"<table><tr><th>key</th><th>value</th><th>95 %</th><th></th></tr>{''.join(lines)}</table>"


def draw_curves(curves: Mapping[str, Curve]) -> Figure | None:
  """Every term by epoch, in training and on validation, in the order of `curves`; None where there are no curves.

  Terms of one part of f ("L_f/color") are left out. Values that are not finite leave a gap.
  """
  terms: dict[str, dict[str, Curve]] = {}
  for tag, curve in curves.items():
    split, _, name = tag.partition("/")
    if split in COLORS and name and "/" not in name and len(curve) > 1:
      terms.setdefault(name, {})[split] = curve
  if not terms:
    return None
  rows = math.ceil(len(terms) / 3)
  figure = Figure(figsize=(10, 2.1 * rows), layout="constrained", facecolor=np.divide(pictures.PAPER, 255))
  all_axes = figure.subplots(rows, 3, squeeze=False).ravel()
  for axes, (name, splits) in zip(all_axes, terms.items()):
    for split, curve in splits.items():
      steps = sorted(curve)
      axes.plot(steps, [curve[step] for step in steps], color=COLORS[split], linewidth=1.2, label=split)
    axes.set_title(name)
  for axes in all_axes[len(terms) :]:
    axes.set_axis_off()
  figure.legend(*all_axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
  return figure


def _curves(curves: Mapping[str, Curve]) -> str:
  figure, png = draw_curves(curves), io.BytesIO()
  if not figure:
    return ""
  figure.savefig(png, format="png", dpi=100)
  return _embedded(png.getvalue(), "every term of the loss by epoch")

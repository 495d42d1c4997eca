"""`report.html`: one file that shows what a run does and how it was measured. It loads nothing from elsewhere."""

import base64
import html
import pathlib
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent import __version__, pictures
from tfdisent.dataset import Examples
from tfdisent.evaluation.probes import PROBES
from tfdisent.evaluation.protocol import Metrics
from tfdisent.feature import feature_values
from tfdisent.inference import TrainedModel

Curve = dict[int, float]
"""A scalar by step."""

CURVES = ("L", "reconstruction", "KL_z1", "KL_z2", "L_f", "L_q", "L_GAN", "L_D", "psnr")
COLORS = {"train": "#1f6f8b", "validation": "#d1495b"}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; }
table { border-collapse: collapse; } td, th { padding: .15rem .8rem .15rem 0; text-align: left; }
td.number { text-align: right; font-variant-numeric: tabular-nums; } .faint { color: #777; }
img { image-rendering: pixelated; max-width: 100%; } pre { background: #f5f5f5; padding: 1rem; overflow-x: auto; }
svg { font: 11px system-ui, sans-serif; margin: 0 1rem 1rem 0; }
"""


def write_report(
  path: pathlib.Path,
  model: TrainedModel,
  examples: Examples,
  metrics: Metrics,
  curves: Mapping[str, Curve],
  config: str,
) -> None:
  """Writes the report of a run.

  Args:
    path: of the HTML file.
    model: for the fusion grid.
    examples: the split that was measured; the grid takes its images from here.
    metrics: of `evaluate`.
    curves: of `read_curves`.
    config: the configuration as text.
  """
  f = feature_values(model.feature, examples)
  columns, rows = pictures.pick(f, model.feature), np.random.default_rng(1).permutation(len(f))[:8]
  grid = pictures.fusion_grid(model, examples["image"][rows], examples["image"][columns], f[columns])
  name, feature = html.escape(path.parent.name), html.escape(model.feature.name)
  sections = {
    "Fusions": "<p>Rows share z1, columns share z̃2; their sources lie along the edges. "
    f"Images of the split that was measured.</p>{_image(grid)}",
    "Leakage: f read from z1, and what the probes read elsewhere": _leakage(metrics),
    "Control, by the class that was asked for": _bars(metrics, "control_by_class/"),
    "All figures": _table(metrics),
    "Curves": _curves(curves),
    "Configuration": f"<pre>{html.escape(config)}</pre>",
  }
  body = "".join(f"<h2>{title}</h2>{content}" for title, content in sections.items() if content)
  path.write_text(
    f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{name}</title><style>{STYLE}</style></head>'
    f"<body><h1>{name}</h1><p>Feature f(x): {feature}. Intervals are bootstrap 95 % over {len(f)} images. "
    f"tfdisent {__version__}.</p>{body}</body></html>\n",
    encoding="utf-8",
  )


def read_curves(folder: pathlib.Path) -> dict[str, Curve]:
  """Every scalar of the TensorBoard event files that lie in a folder, by tag and step.

  Of a step that was written twice (a training that went on) the later one counts. A file that ends in the middle of a
  record, as after a crash, is read as far as it goes.
  """
  curves: dict[str, Curve] = {}
  for file in sorted(folder.glob("events.out.tfevents.*")):
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


def _image(picture: np.ndarray, zoom: int = 2) -> str:
  png = tf.io.encode_png(np.repeat(np.repeat(picture, zoom, 0), zoom, 1)).numpy()
  return f'<img alt="fusion grid" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _number(value: float) -> str:
  return f"{value:.4g}" if abs(value) < 0.1 else f"{value:.3f}"


def _interval(figure: Mapping) -> str:
  return f"{_number(figure['low'])} to {_number(figure['high'])}" if "low" in figure else ""


def _leakage(metrics: Metrics) -> str:
  """The six probes, then the worst of them beside chance and the controls."""
  keys = [f"leakage/{probe}_{kind}" for kind in ("mean", "sample") for probe in PROBES]
  keys += [f"leakage/{name}" for name in ("worst", "image", "chance")]
  keys += [f"leakage/control_{name}" for name in ("shuffled", "untrained", "pixels")]
  return _bars({key: metrics[key] for key in keys if key in metrics}, "leakage/")


def _bars(metrics: Metrics, prefix: str) -> str:
  """A table of the figures of a prefix with bars from 0 to 1, and their intervals as lines."""
  lines = []
  for key, figure in metrics.items():
    if key.startswith(prefix):
      value, low, high = (200 * min(1, max(0, figure.get(name, figure["value"]))) for name in ("value", "low", "high"))
      bar = (
        f'<svg width="202" height="14"><rect width="200" height="14" fill="#eee"/>'
        f'<rect width="{value:.1f}" height="14" fill="#1f6f8b"/>'
        f'<line x1="{low:.1f}" x2="{high:.1f}" y1="7" y2="7" stroke="#d1495b" stroke-width="2"/></svg>'
      )
      lines.append(
        f"<tr><td>{html.escape(key.removeprefix(prefix))}</td><td>{bar}</td>"
        f'<td class="number">{_number(figure["value"])}</td><td class="faint">{_interval(figure)}</td></tr>'
      )
  return f"<table>{''.join(lines)}</table>" if lines else ""


def _table(metrics: Metrics) -> str:
  lines = []
  for key, figure in sorted(metrics.items()):
    notes = ", ".join(f"{name} {what}" for name, what in figure.items() if name not in ("value", "low", "high"))
    lines.append(
      f'<tr><td>{html.escape(key)}</td><td class="number">{_number(figure["value"])}</td>'
      f'<td class="faint">{_interval(figure)}</td><td class="faint">{html.escape(notes)}</td></tr>'
    )
  return f"<table><tr><th>key</th><th>value</th><th>95 %</th><th></th></tr>{''.join(lines)}</table>"


def _curves(curves: Mapping[str, Curve]) -> str:
  plots = []
  for name in CURVES:
    lines = {part: curves[f"{part}/{name}"] for part in COLORS if len(curves.get(f"{part}/{name}", ())) > 1}
    if lines:
      plots.append(_plot(name, lines))
  legend = " ".join(f'<span style="color:{color}">━ {part}</span>' for part, color in COLORS.items())
  return f"<p>By epoch: {legend}</p>{''.join(plots)}" if plots else ""


def _plot(title: str, lines: Mapping[str, Curve], width: int = 290, height: int = 150) -> str:
  """Curves of one quantity as an SVG; values that are not finite are left out."""
  lines = {part: {step: v for step, v in curve.items() if np.isfinite(v)} for part, curve in lines.items()}
  steps, values = (sorted(of for curve in lines.values() for of in pick(curve)) for pick in (dict.keys, dict.values))
  if not steps:
    return ""
  first, last, low, high = steps[0], steps[-1], values[0], values[-1]
  left, bottom, top = 52, height - 18, 18

  def point(step, value):
    x = left + (width - left - 8) * (step - first) / max(last - first, 1)
    y = bottom - (bottom - top) * (value - low) / ((high - low) or 1)
    return f"{x:.1f},{y:.1f}"

  drawn = "".join(
    f'<polyline fill="none" stroke="{COLORS[part]}" points="{" ".join(point(*p) for p in sorted(curve.items()))}"/>'
    for part, curve in lines.items()
  )
  return (
    f'<svg width="{width}" height="{height}"><text x="{left}" y="12" font-weight="bold">{html.escape(title)}</text>'
    f'<path d="M{left},{top}V{bottom}H{width - 8}" fill="none" stroke="#bbb"/>'
    f'<text x="{left - 4}" y="{top + 8}" text-anchor="end">{high:.4g}</text>'
    f'<text x="{left - 4}" y="{bottom}" text-anchor="end">{low:.4g}</text>'
    f'<text x="{left}" y="{height - 4}">{first}</text>'
    f'<text x="{width - 8}" y="{height - 4}" text-anchor="end">{last}</text>{drawn}</svg>'
  )

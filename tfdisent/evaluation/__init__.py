"""Measuring a model, or any representation: what f leaks, what it controls, and what it leaves alone.

Each measure is a function of arrays and a random state, so it takes the codes of a baseline as well.

| what | by | source |
|---|---|---|
| `leakage` of f from a representation | logistic or ridge regression, an MLP, boosted trees (scikit-learn), on held-out data | Alain & Bengio 2017, Locatello et al. 2019 |
| `usable_information` of a representation about f, nats | the same probes | Xu et al. 2020 |
| `plain_vae`: what leaks when no loss prevents it | a VAE without z2, of the model's own E1 and G | Kingma & Welling 2014 |
| `read_images`: leakage from images | a convolutional network trained on fusions | Denton & Birodkar 2017 |
| `information_bound` of I(z̃2; x̂ \\| z1), nats | a q that is trained after the model is frozen | Barber & Agakov 2003, Tang et al. |
| `Oracle`: a class in an image; `Estimator`: an angle, numbers; `Trunk`: several of them | a convolutional network trained on real images | Caruana 1997 (the trunk) |
| `measured_color`, `axis`, `slant`, `stroke_thickness`, `ink_iou` | pixels | Hu 1962, Teow & Loe 2002, Jaccard 1912 |
| `psnr`, `ssim` | pixels | Wang et al. 2004 |
| sharpness, `edge_variance` | pixels | Pech-Pacheco et al. 2000 |
| `fid`, `kid`, with `FIDExtractor` | features of a network of the images' own domain | Heusel et al. 2017, Bińkowski et al. 2018 |
| `proportion_interval` of a share | the binomial distribution | Clopper & Pearson 1934 |
| `bootstrap_interval` of all else, `with_interval` | resampled test examples | Efron 1979 |

`Case.worst` has the fusions that the judges find worst, and `worst.judged_fusions` draws them.

`evaluate` runs them all on a trained model. What it runs are measurements (`Measurement`), a record and a function of a
`Case` each, in `control`, `quality`, `leaks`, `bound` and `counterpart`; `measurement` says how to add one.

A figure's interval is over the choice of the test examples alone, and takes each as independent of the others. It does
not include

- another seed of the training (compare several runs: `comparison.Group.figure` joins seeds and test images),
- another seed of a probe, of q or of a judge, or other examples to learn from,
- that an image is in several fusions, as source and as partner, so that the errors of these are correlated a little,
- that `leakage/worst` is the largest of six scores. It has the interval of that score, and errs upwards.
"""  # noqa: E501 (a table)

from tfdisent.evaluation.bound import cells, entropy, information_bound
from tfdisent.evaluation.case import Case, other_feature
from tfdisent.evaluation.image_probe import read_images
from tfdisent.evaluation.intervals import (
  bootstrap_interval,
  median_with_interval,
  proportion_interval,
  with_interval,
)
from tfdisent.evaluation.judges import Estimator, FIDExtractor, Oracle, plain_vae
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics, printed_figures, without_part
from tfdisent.evaluation.probes import PROBES, ceiling, chance, leakage, predict, score, usable_information
from tfdisent.evaluation.protocol import evaluate, train_judges
from tfdisent.evaluation.quality import edge_variance, fid, kid, psnr, ssim
from tfdisent.evaluation.readers import Trunk
from tfdisent.evaluation.strokes import angle_error, axis, ink, ink_iou, measured_color, slant, stroke_thickness

__all__ = [
  "PROBES",
  "Case",
  "Estimator",
  "FIDExtractor",
  "Figure",
  "Measurement",
  "Metrics",
  "Oracle",
  "Trunk",
  "angle_error",
  "axis",
  "bootstrap_interval",
  "ceiling",
  "cells",
  "chance",
  "edge_variance",
  "entropy",
  "evaluate",
  "fid",
  "information_bound",
  "ink",
  "ink_iou",
  "kid",
  "leakage",
  "measured_color",
  "median_with_interval",
  "other_feature",
  "plain_vae",
  "predict",
  "printed_figures",
  "proportion_interval",
  "psnr",
  "read_images",
  "score",
  "slant",
  "ssim",
  "stroke_thickness",
  "train_judges",
  "usable_information",
  "with_interval",
  "without_part",
]

"""The run folder: its files, what it says of its run, by what two runs are told apart, and its figures.

| file                    | what it is                                                                              |
|-------------------------|-----------------------------------------------------------------------------------------|
| `lock`                  | held by the process that trains here                                                    |
| `run.json`              | the data set and the measurements (registered name, module, arguments), the bindings    |
| `config.gin`            | the operative configuration, for people, and as a `--gin_file` if the user passes it    |
| `model.json`            | the model and its feature                                                               |
| `class_names.json`      | names of the classes, of each column of the data set                                    |
| `features/`             | a folder for each learned feature that the run has fitted itself                        |
| `checkpoints/`          | see `tfdisent.checkpoints`                                                              |
| `weights.npz`           | in place of these, the weights of a run that was made small: `tfdisent.serving.compact` |
| `tensorboard/`          | curves, and the figures of each evaluation in a folder of their own                     |
| `fusion*.png`, …        | pictures of the validation split                                                        |
| `fusion_worst.png`      | the fusions that the judges find worst, of the newest figures                           |
| `examples.png`          | eight images of the validation split, side by side, to be fused without the data        |
| `judges.npz`            | the networks that judge its images, small: see `tfdisent.evaluation.small_judges`       |
| `feature_examples.json` | values of f for the columns of samples; written last, so its presence means: trained    |
| `metrics*.json`         | `{"provenance": …, "metrics": …}` of one split and one checkpoint; see `named`          |
| `README.md`             | the newest of these figures in plain words, and what to try                             |
| `report*.html`          | the same figures for people, with pictures and curves                                   |
| `test_reads.jsonl`      | a line for each time that the test split was measured                                   |
| `samples.png`, …        | of `--mode=sample`                                                                      |
| `export/`               | of `--mode=export`                                                                      |
| `erased/`               | of `--mode=erase`: a run folder                                                         |

A run folder may come from anybody. So its files are data: JSON, numbers and texts. A module that it names is imported
only if `tfdisent.plugins` allows it. Its configuration is code, and is never read.
"""

from tfdisent.run.configuration import (
  NOT_COMPARED,
  bindings,
  differences,
  read_config,
  refuse_another,
  refuse_fewer_epochs,
)
from tfdisent.run.description import modules, read_dataset, read_description, read_measurements, write_description
from tfdisent.run.figures import count_test_read, provenance, read_metrics, reads_of_test, versions, write_metrics
from tfdisent.run.files import (
  CHECKPOINTS_FOLDER,
  CLASS_NAMES_FILE,
  COMPARISON_FIGURES_FILE,
  COMPARISON_FILE,
  COMPARISON_PLOT_FILE,
  CONFIG_FILE,
  CURVES_FILE,
  ERASED_FOLDER,
  EVALUATION_FOLDER,
  EXAMPLES_FILE,
  EXPORT_FOLDER,
  FEATURE_EXAMPLES_FILE,
  FEATURE_FILE,
  FEATURE_WEIGHTS_FILE,
  FEATURES_FOLDER,
  FRONTIER_FILE,
  FUSION_FILE,
  GO_ON,
  JUDGES_FILE,
  LOCK_FILE,
  MAKE_ROOM,
  METRICS_FILE,
  MODEL_FILE,
  REPORT_FILE,
  RUN_FILE,
  TENSORBOARD_FOLDER,
  TEST_READS_FILE,
  WEIGHTS_FILE,
  WORDS_FILE,
  WORST_FILE,
  alone_in,
  check_writable,
  named,
  reason,
  replace,
  write,
  writing,
)

__all__ = [
  "CHECKPOINTS_FOLDER",
  "CLASS_NAMES_FILE",
  "COMPARISON_FIGURES_FILE",
  "COMPARISON_FILE",
  "COMPARISON_PLOT_FILE",
  "CONFIG_FILE",
  "CURVES_FILE",
  "ERASED_FOLDER",
  "EVALUATION_FOLDER",
  "EXAMPLES_FILE",
  "EXPORT_FOLDER",
  "FEATURES_FOLDER",
  "FEATURE_EXAMPLES_FILE",
  "FEATURE_FILE",
  "FEATURE_WEIGHTS_FILE",
  "FRONTIER_FILE",
  "FUSION_FILE",
  "GO_ON",
  "JUDGES_FILE",
  "LOCK_FILE",
  "MAKE_ROOM",
  "METRICS_FILE",
  "MODEL_FILE",
  "NOT_COMPARED",
  "REPORT_FILE",
  "RUN_FILE",
  "TENSORBOARD_FOLDER",
  "TEST_READS_FILE",
  "WEIGHTS_FILE",
  "WORDS_FILE",
  "WORST_FILE",
  "alone_in",
  "bindings",
  "check_writable",
  "count_test_read",
  "differences",
  "modules",
  "named",
  "provenance",
  "read_config",
  "read_dataset",
  "read_description",
  "read_measurements",
  "read_metrics",
  "reads_of_test",
  "reason",
  "refuse_another",
  "refuse_fewer_epochs",
  "replace",
  "versions",
  "write",
  "write_description",
  "write_metrics",
  "writing",
]

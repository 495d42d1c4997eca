"""Data sets, one file each. `import tfdisent.datasets.color_mnist` registers `color_mnist`."""

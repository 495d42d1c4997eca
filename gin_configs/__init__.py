"""Configurations. `--gin_file=gin_configs/quickstart.gin` finds them from any folder once tfdisent is installed."""

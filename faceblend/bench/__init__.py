"""Every speed claim as a command: warm-up, repeated rounds, medians, side by side in one run."""

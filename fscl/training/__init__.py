"""The training loop and what it stands on: device, checkpoints, the photos of a run."""

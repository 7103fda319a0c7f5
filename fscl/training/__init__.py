"""The training loop and what it needs: plan, optimizer, checkpoints, the photos of a run."""

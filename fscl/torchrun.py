"""What torchrun tells the processes that it starts: how many there are, and which of them this is."""

import os

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


def started() -> bool:
    """Whether this is one of several processes that torchrun has started."""
    return all(name in os.environ for name in NAMES) and os.environ["WORLD_SIZE"] != "1"


def on_this_machine() -> int:
    """Return how many of them share this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if started() else 1


def starter() -> list[str]:
    """Return the words that start the program as it was started, where it was on one machine."""
    if not started() or os.environ.get("LOCAL_WORLD_SIZE") != os.environ["WORLD_SIZE"]:
        return ["fscl"]
    return ["torchrun", "--standalone", "--nproc-per-node", os.environ["WORLD_SIZE"], "-m", "fscl"]

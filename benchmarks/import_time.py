"""How long `import fscl` and `fscl --help` take over a bare interpreter: medians of paired runs.

python benchmarks/import_time.py [--runs 15]
"""

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "bare interpreter": [sys.executable, "-c", "pass"],
    "import fscl": [sys.executable, "-c", "import fscl"],
    "fscl --help": [sys.executable, "-m", "fscl", "--help"],
    "import torch": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    for command in COMMANDS.values():
        seconds(command)
    taken = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    for name in list(COMMANDS)[1:]:
        over = [found - bare for found, bare in zip(taken[name], taken["bare interpreter"], strict=True)]
        print(f"{name}: {statistics.median(over):.3f} s over a bare interpreter (min {min(over):.3f}, {runs} runs)")


if __name__ == "__main__":
    main()

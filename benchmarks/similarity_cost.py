"""What the similarity term adds to a training step: ratio of paired steps, ResNet-18, 32 px, batch 64.

python benchmarks/similarity_cost.py [--image-size 32] [--batch-size 64] [--pairs 60]
"""

import argparse
import statistics
import time

import torch

from fscl.losses import CrossEntropyLoss, FeatureSimilarityLoss, Objective
from fscl.models import Classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=60)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    classifier = Classifier("resnet18", 2).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3, weight_decay=1e-5)
    photos = torch.randn(arguments.batch_size, 3, arguments.image_size, arguments.image_size, device=device)
    photos = photos.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(2, (arguments.batch_size,), device=device)
    plain = {"cross_entropy": (1.0, CrossEntropyLoss(2))}
    objectives = {
        "plain": Objective(plain),
        "with similarity": Objective({**plain, "feature_similarity": (1.0, FeatureSimilarityLoss(2))}),
    }

    def step(objective: Objective) -> float:
        start = time.perf_counter()
        logits, features = classifier(photos)
        optimizer.zero_grad(set_to_none=True)
        objective(logits, features, labels).total.backward()
        optimizer.step()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for objective in list(objectives.values()) * 3:
        step(objective)
    ratios = []
    for pair in range(arguments.pairs):
        order = list(objectives) if pair % 2 else list(objectives)[::-1]
        taken = {name: step(objectives[name]) for name in order}
        ratios.append(taken["with similarity"] / taken["plain"])
    low, _, high = statistics.quantiles(ratios, n=4)
    print(
        f"{device.type}, {arguments.image_size} px, batch {arguments.batch_size}: the similarity term costs "
        f"{100 * (statistics.median(ratios) - 1):.1f} % of a step (median of {arguments.pairs} pairs, quartiles "
        f"{100 * (low - 1):.1f} to {100 * (high - 1):.1f} %)"
    )


if __name__ == "__main__":
    main()

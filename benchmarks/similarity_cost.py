"""What the similarity term adds to a training step, ResNet-18, 32 px, batch 64: medians, forward and backward.

The term is timed alone on the step's own features, in turn with whole steps: the difference of two noisy whole
steps would drown it.

python benchmarks/similarity_cost.py [--image-size 32] [--batch-size 64] [--rounds 40]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from fscl.losses import CrossEntropyLoss, FeatureSimilarityLoss, Objective, Term
from fscl.models import Classifier


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    classifier = Classifier("resnet18", 2).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(classifier.parameters(), 1e-3, weight_decay=1e-5)
    photos = torch.randn(arguments.batch_size, 3, arguments.image_size, arguments.image_size, device=device)
    photos = photos.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(2, (arguments.batch_size,), device=device)
    objective = Objective({"cross_entropy": Term(1.0, CrossEntropyLoss(2))})
    similarity = FeatureSimilarityLoss(2)
    features = [layer.detach().requires_grad_() for layer in classifier(photos).features]

    def step() -> None:
        logits, tapped = classifier(photos)
        optimizer.zero_grad(set_to_none=True)
        objective(logits, tapped, labels).total.backward()
        optimizer.step()

    def term() -> None:
        similarity(features, labels).backward()

    def seconds(work: Callable[[], None]) -> float:
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    for _ in range(5):
        step()
        term()
    shares = [seconds(term) / seconds(step) for _ in range(arguments.rounds)]
    low, middle, high = statistics.quantiles(shares, n=4)
    print(
        f"{device.type}, {arguments.image_size} px, batch {arguments.batch_size}: the similarity term costs "
        f"{100 * middle:.1f} % of a step without it (median of {arguments.rounds} rounds, quartiles "
        f"{100 * low:.1f} to {100 * high:.1f} %)"
    )


if __name__ == "__main__":
    main()

"""The similarity loss with its options, transcribed pair by pair: slow, and plain enough to be checked by eye."""

import torch


def shares(labels, num_classes):
    """Return Y: a row of class shares for each photo, of hard or soft labels."""
    return labels if labels.is_floating_point() else torch.eye(num_classes, dtype=torch.float64)[labels]


def mean_of_class_means(rows, y):
    counts = y.sum(dim=0)
    means = [sum(y[i, c] * row for i, row in enumerate(rows)) / counts[c] for c in range(y.shape[1]) if counts[c] > 0]
    return sum(means) / len(means)


def similarity_loss(features, labels, affinity, *, centred=False):
    """Return the mean over all pairs of (S_ij − T_ij)².

    Args:
        features: (batch, dim).
        labels: classes, or shares of classes.
        affinity: A.
        centred: subtract the mean of class means first.
    """
    rows, y = list(features), shares(labels, len(affinity))
    if centred:
        centre = mean_of_class_means(rows, y)
        rows = [row - centre for row in rows]
    value = torch.zeros((), dtype=torch.float64)
    for i, h_i in enumerate(rows):
        for j, h_j in enumerate(rows):
            zero = min(h_i.norm(), h_j.norm()) < 1e-12  # rounding, of a photo that is its own centre
            similarity = 0.0 if zero else (h_i @ h_j) / (h_i.norm() * h_j.norm())
            target = y[i] @ affinity @ y[j]
            value = value + (similarity - target) ** 2
    return value / len(rows) ** 2

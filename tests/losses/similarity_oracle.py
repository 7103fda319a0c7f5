"""The general similarity loss, transcribed pair by pair: slow, and plain enough to be checked by eye."""

import torch


def shares(labels, num_classes):
    """Return Y: a row of class shares for each photo, of hard or soft labels."""
    return labels if labels.is_floating_point() else torch.eye(num_classes, dtype=torch.float64)[labels]


def mean_of_class_means(rows, y):
    counts = y.sum(dim=0)
    means = [sum(y[i, c] * row for i, row in enumerate(rows)) / counts[c] for c in range(y.shape[1]) if counts[c] > 0]
    return sum(means) / len(means)


def weight(i, y, photo_weights):
    if photo_weights == "equal":
        return 1 / len(y)
    counts = y.sum(dim=0)
    present = [c for c in range(y.shape[1]) if counts[c] > 0]
    return sum(y[i, c] / counts[c] for c in present) / len(present)


def similarity_loss(features, labels, affinity, *, photo_weights="equal", centre=None, exclude_self=False, stored=()):
    """Return Σ_ij w_i w_j (S_ij − T_ij)², over i ≠ j and divided by their weight if `exclude_self`.

    Args:
        features: (batch, dim).
        labels: classes, or shares of classes.
        affinity: A.
        photo_weights: "equal" or "class_balanced".
        centre: None, "batch", or a vector.
        exclude_self: see above.
        stored: (class, vector) of each prototype.
    """
    num_classes = len(affinity)
    rows = [*features, *(vector for _, vector in stored)]
    y = torch.cat([shares(labels, num_classes), shares(torch.tensor([c for c, _ in stored]).long(), num_classes)])
    if centre is not None:
        centre = mean_of_class_means(rows, y) if isinstance(centre, str) else centre
        rows = [row - centre for row in rows]
    value, weights_of_pairs = torch.zeros((), dtype=torch.float64), 0.0
    for i, h_i in enumerate(rows):
        for j, h_j in enumerate(rows):
            if exclude_self and i == j:
                continue
            zero = not h_i.any() or not h_j.any()
            similarity = 0.0 if zero else (h_i @ h_j) / (h_i.norm() * h_j.norm())
            target = y[i] @ affinity @ y[j]
            w = weight(i, y, photo_weights) * weight(j, y, photo_weights)
            value = value + w * (similarity - target) ** 2
            weights_of_pairs += w
    return value / weights_of_pairs if weights_of_pairs else value

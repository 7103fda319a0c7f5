"""The similarity loss on a model that is not ours: a hook hands over the features of any layer."""

import torch
from torch import nn
from torch.nn import functional

from fscl.losses import FeatureSimilarityLoss

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2)
)
features = []
model[3].register_forward_hook(lambda module, inputs, output: features.append(output))
# Features are compared about the mean of class means, so that opposite is in reach.
similarity = FeatureSimilarityLoss(2, affinity="simplex", centring="batch")
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

photos, labels = torch.randn(32, 3, 16, 16), (torch.arange(32) % 8 == 0).long()  # 4 rare ones among 32
photos[labels == 1] += 0.5
for step in range(20):
    features.clear()
    logits = model(photos)
    loss = functional.cross_entropy(logits, labels) + 1.0 * similarity(features, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step + 1}: {loss.item():.3f}")

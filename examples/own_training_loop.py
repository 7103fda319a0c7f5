"""The similarity loss in a plain PyTorch training loop of your own: two lines more than cross-entropy alone."""

import torch
from torch.nn import functional

from fscl.losses import FeatureSimilarityLoss
from fscl.models import Classifier

torch.manual_seed(0)
model = Classifier("test_resnet", num_classes=2)  # or any module that returns logits and features
similarity = FeatureSimilarityLoss(num_classes=2)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

photos, labels = torch.randn(32, 3, 32, 32), torch.arange(32) % 2
photos[labels == 1] += 0.5
for step in range(20):
    logits, features = model(photos)
    loss = functional.cross_entropy(logits, labels) + 1.0 * similarity(features, labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step + 1}: {loss.item():.3f}")

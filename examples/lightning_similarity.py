"""The similarity loss in PyTorch Lightning, over one or several processes alike: `pip install pytorch-lightning`."""

import pytorch_lightning as lightning
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from fscl.losses import FeatureSimilarityLoss


class Classifier(lightning.LightningModule):
    """The loss is a submodule of the model, so it moves to the device with it."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU())
        self.head = nn.Linear(16, 2)
        self.similarity = FeatureSimilarityLoss(2, affinity="simplex", centring="batch", across_processes=True)

    def training_step(self, batch, index):
        """Return the loss of a batch."""
        photos, labels = batch
        features = self.backbone(photos)
        loss = functional.cross_entropy(self.head(features), labels) + 1.0 * self.similarity(features, labels)
        print(f"step {self.global_step + 1}: {loss.item():.3f}")
        return loss

    def configure_optimizers(self):
        """Return the optimizer."""
        return torch.optim.Adam(self.parameters(), lr=1e-2)


lightning.seed_everything(0, verbose=False)
photos, labels = torch.randn(32, 3, 8, 8), torch.arange(32) % 2
photos[labels == 1] += 0.5
trainer = lightning.Trainer(
    max_epochs=10,
    accelerator="cpu",
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Classifier(), DataLoader(TensorDataset(photos, labels), batch_size=32))

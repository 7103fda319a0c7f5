"""Run by test_across_processes.py: several processes that train on one batch with DistributedDataParallel.

python several_processes.py WORLD_SIZE FOLDER: reads FOLDER/cases.pt, and each process writes FOLDER/RANK.pt.
They are forked from this one, so that what they import is imported once.
"""

import importlib
import multiprocessing
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from pytorch_metric_learning.utils.distributed import DistributedLossWrapper
from torch import nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.metric_learning import FeatureSimilarityMetricLoss


class Model(nn.Module):
    """Features of photos, their cross-entropy and the similarity loss; the loss belongs to it."""

    def __init__(self, options, dim):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(6, dim).double()
        self.head = nn.Linear(dim, 3).double()
        self.similarity = FeatureSimilarityLoss(3, **options).double()

    def forward(self, photos, labels):
        features = self.backbone(photos)
        return functional.cross_entropy(self.head(features), labels), self.similarity(features, labels)


def step(model, photos, labels, *, share=1.0):
    """Return similarity and gradients of a batch; the mean cross-entropy is scaled by `share`."""
    cross_entropy, similarity = model(photos, labels)
    (share * cross_entropy + similarity).backward()
    gradients = {name.removeprefix("module."): p.grad for name, p in model.named_parameters()}
    return {"similarity": similarity.detach(), **gradients}


def metric_learning(rank, world_size, photos, labels):
    """Return the gradient through pytorch-metric-learning's wrapper around our loss; its shards are even ones."""
    torch.manual_seed(0)
    backbone = DistributedDataParallel(nn.Linear(6, 4).double())
    loss = DistributedLossWrapper(FeatureSimilarityMetricLoss(FeatureSimilarityLoss(3)))
    loss(backbone(photos.chunk(world_size)[rank]), labels.chunk(world_size)[rank]).backward()
    return backbone.module.weight.grad


def main(rank, world_size, folder):
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), world_size)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world_size)
    results = []
    for case in torch.load(folder / "cases.pt"):
        sizes = case["sizes"]
        shard = [whole.split(sizes)[rank] for whole in case["batch"]]
        model = DistributedDataParallel(Model(case["options"] | {"across_processes": True}, case["dim"]))
        results.append(step(model, *shard, share=world_size * sizes[rank] / sum(sizes)))
    if world_size == 2:
        results.append(metric_learning(rank, world_size, *torch.load(folder / "cases.pt")[0]["batch"]))
    torch.save(results, folder / f"{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    importlib.import_module("torch._dynamo")  # DistributedDataParallel would, in each process
    context = multiprocessing.get_context("fork")
    world_size, folder = int(sys.argv[1]), Path(sys.argv[2])
    processes = [context.Process(target=main, args=(rank, world_size, folder)) for rank in range(world_size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    sys.exit(max(abs(process.exitcode or 0) for process in processes))

"""Of runs from scratch on two classes: are the rare photos known by heart, and what does the similarity term ask?

Recall and AUROC on training photos and on new ones, cosines within and between classes at the last stage, and the
share of the gradient of the study's term that comes from pairs of common, of rare and of different photos, in batches
as oversampling draws them.

python benchmarks/rare_by_heart.py STUDY CELL…    a folder of fscl compare, with weights kept: fine-fscl-r0.01-s0
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.nn import functional

from fscl.bundle import Bundle
from fscl.config import resolve
from fscl.inference import infer
from fscl.loading.regions import Regions
from fscl.manifest.table import Manifest
from fscl.methods import read_toml
from fscl.run_folder import RunFolder
from fscl.training.subset import subset

BATCHES, EACH, MOST = 50, 32, 500  # batches, photos of a class in each; photos of a class that are compared


def seen(bundle: Bundle, regions: Regions, rare: int) -> tuple[np.ndarray, Tensor, Tensor]:
    """Return the margin of the rare class, unit features, and which photos show it."""
    parts = list(infer(bundle.classifier, regions, bundle.preprocessing, features=True))
    logits = torch.cat([part.logits for part in parts])
    features = torch.cat([part.features[-1] for part in parts])
    rows = [row for part in parts for row in part.rows]
    margin = (logits[:, rare] - logits[:, 1 - rare]).numpy()
    return margin, functional.normalize(features, dim=1), torch.from_numpy(regions.labels[rows] == rare)


def cosines(features: Tensor, is_rare: Tensor) -> str:
    common, rare = features[~is_rare][:MOST], features[is_rare][:MOST]

    def within(one: Tensor) -> float:
        return ((one @ one.T).sum().item() - len(one)) / (len(one) * (len(one) - 1))

    return f"common {within(common):.2f}, rare {within(rare):.2f}, between {(common @ rare.T).mean().item():.2f}"


def gradient_shares(features: Tensor, is_rare: Tensor) -> str:
    generator, shares = np.random.default_rng(0), []
    groups = [features[~is_rare], features[is_rare]]
    is_second = torch.arange(2 * EACH) >= EACH
    same_class = is_second[:, None] == is_second
    for _ in range(BATCHES):
        drawn = torch.cat([group[generator.integers(len(group), size=EACH)] for group in groups]).requires_grad_()
        directions = functional.normalize(drawn, dim=1)
        squares = (directions @ directions.T - same_class.float()).square()
        kinds = (same_class & ~is_second, same_class & is_second, ~same_class)
        shares.append(
            [torch.autograd.grad((squares * kind).sum(), drawn, retain_graph=True)[0].norm() for kind in kinds]
        )
    common, rare, between = np.mean(shares, axis=0) / np.sum(np.mean(shares, axis=0))
    return f"common pairs {common:.2f}, rare pairs {rare:.2f}, pairs of two classes {between:.2f}"


def look(study: Path, cell: str) -> None:
    folder = RunFolder(study / "runs" / cell)
    bundle = Bundle.open(study / "runs" / cell)
    rare = bundle.classes.index(bundle.minority[0])
    manifest = Manifest.read(study / "photos.parquet")
    chosen = subset(manifest, resolve([(str(folder.settings), read_toml(folder.settings))]))
    test = manifest.rows[(manifest.rows["split"] == "test") & manifest.rows["label"].isin(bundle.classes)]
    for name, rows in (("training", chosen.rows("train")), ("new", test.reset_index(drop=True))):
        margin, features, is_rare = seen(bundle, Regions.of(rows, manifest.root, chosen.classes), rare)
        recall = (margin[is_rare.numpy()] > 0).mean()
        print(
            f"{cell}, {name} photos: recall {recall:.2f}, AUROC {roc_auc_score(is_rare, margin):.3f}; cosines:",
            end=" ",
        )
        print(cosines(features, is_rare))
        if name == "training":
            print(f"{cell}: share of the term's gradient: {gradient_shares(features, is_rare)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    parser.add_argument("cells", nargs="+")
    arguments = parser.parse_args()
    for cell in arguments.cells:
        look(arguments.study, cell)


if __name__ == "__main__":
    main()

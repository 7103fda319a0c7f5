import pytest
import torch
from pytorch_metric_learning import distances, losses, reducers, regularizers, trainers
from torch import nn
from torch.utils.data import TensorDataset

from fscl.losses import FeatureSimilarityLoss
from fscl.losses.metric_learning import FeatureSimilarityMetricLoss


def batch(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 6, generator=generator), torch.randint(3, (n,), generator=generator)


def test_it_is_our_loss_as_one_of_theirs():
    embeddings, labels = batch(20)
    similarity = FeatureSimilarityLoss(3, affinity="simplex", centring="batch")
    loss = FeatureSimilarityMetricLoss(similarity, reducer=reducers.AvgNonZeroReducer())
    assert isinstance(loss, losses.BaseMetricLossFunction)
    assert loss(embeddings, labels).item() == similarity(embeddings, labels).item()


def test_their_regularizer_is_added():
    embeddings, labels = batch(20)
    loss = FeatureSimilarityMetricLoss(
        FeatureSimilarityLoss(3), embedding_regularizer=regularizers.LpRegularizer(), embedding_reg_weight=0.5
    )
    expected = FeatureSimilarityLoss(3)(embeddings, labels) + 0.5 * embeddings.norm(dim=1).mean()
    assert sum(losses.MultipleLosses([loss])(embeddings, labels).flatten()).item() == pytest.approx(expected.item())


@pytest.mark.parametrize("options", [{}, {"affinity": "simplex"}])
def test_references_are_compared_pair_by_pair(options):
    (embeddings, labels), (references, reference_labels) = batch(7), batch(5, seed=1)
    similarity = FeatureSimilarityLoss(3, **options)
    total = 0.0
    for i in range(7):
        for j in range(5):
            cosine = torch.cosine_similarity(embeddings[i], references[j], dim=0)
            target = similarity.affinity[labels[i], reference_labels[j]]
            total += (cosine - target) ** 2 / (7 * 5)
    loss = FeatureSimilarityMetricLoss(similarity)
    value = loss(embeddings, labels, ref_emb=references, ref_labels=reference_labels)
    assert value.item() == pytest.approx(total.item(), abs=1e-6)


def test_as_many_references_as_embeddings_are_still_references():
    (embeddings, labels), (references, reference_labels) = batch(6), batch(6, seed=1)
    similarity = FeatureSimilarityLoss(3)
    value = FeatureSimilarityMetricLoss(similarity)(
        embeddings, labels, ref_emb=references, ref_labels=reference_labels
    )
    assert value.item() == similarity.between(embeddings, labels, references, reference_labels).item()
    assert value.item() != similarity(embeddings, labels).item()


@pytest.mark.filterwarnings("ignore:Converting a tensor with requires_grad")  # their progress bar does
def test_their_trainer_trains_with_it():
    torch.manual_seed(0)
    trunk = nn.Linear(6, 4)
    photos, labels = batch(32)
    photos[:, 0] += 3 * labels
    loss = FeatureSimilarityMetricLoss(FeatureSimilarityLoss(3, affinity="simplex", centring="batch"))
    before = loss(trunk(photos), labels).item()
    trainers.MetricLossOnly(
        models={"trunk": trunk},
        optimizers={"trunk_optimizer": torch.optim.Adam(trunk.parameters(), lr=0.05)},
        batch_size=16,
        loss_funcs={"metric_loss": loss},
        dataset=TensorDataset(photos, labels),
        dataloader_num_workers=0,
        data_device=torch.device("cpu"),
        freeze_trunk_batchnorm=False,
    ).train(num_epochs=10)
    assert loss(trunk(photos), labels).item() < 0.8 * before


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"labels": torch.zeros(4).long(), "indices_tuple": (torch.zeros(1),) * 4}, "leave the miner out"),
        ({}, "labels are needed"),
        ({"labels": torch.zeros(4).long(), "ref_emb": torch.ones(2, 6)}, "ref_labels where there is ref_emb"),
        ({"labels": torch.full((4,), 3)}, "labels must be 0 … 2, got 3 … 3"),
    ],
)
def test_calls_that_have_no_meaning(call, message):
    with pytest.raises(ValueError, match=message):
        FeatureSimilarityMetricLoss(FeatureSimilarityLoss(3))(batch(4)[0], **call)


def test_references_need_a_loss_of_pairs():
    embeddings, labels = batch(4)
    loss = FeatureSimilarityMetricLoss(FeatureSimilarityLoss(3, centring="batch"))
    with pytest.raises(ValueError, match="two sets are compared without centring"):
        loss(embeddings, labels, ref_emb=embeddings[:2], ref_labels=labels[:2])


def test_it_is_about_cosines():
    with pytest.raises(ValueError, match="distance must be CosineSimilarity, got LpDistance"):
        FeatureSimilarityMetricLoss(FeatureSimilarityLoss(3), distance=distances.LpDistance())

import pytest
import torch
from torch.nn import functional

from fscl.losses import CrossEntropyLoss, FeatureSimilarityLoss, Objective, Term


def test_the_total_is_the_weighted_sum_and_the_parts_are_unweighted():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(8, 3, generator=generator, requires_grad=True)
    features = [torch.randn(8, dim, generator=generator) for dim in (4, 6)]
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
    objective = Objective(
        {
            "cross_entropy": Term(1.0, CrossEntropyLoss(3)),
            "feature_similarity": Term(0.5, FeatureSimilarityLoss(3)),
        }
    )
    total, parts = objective(logits, features, labels)
    similarity = sum(FeatureSimilarityLoss(3)(layer, labels) for layer in features)
    expected = functional.cross_entropy(logits, labels) + 0.5 * similarity
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    assert list(parts) == ["cross_entropy", "feature_similarity[-2]", "feature_similarity[-1]"]
    assert (parts["feature_similarity[-2]"] + parts["feature_similarity[-1]"]).item() == pytest.approx(
        similarity.item(), rel=1e-6
    )
    assert not any(part.requires_grad for part in parts.values())
    total.backward()
    assert logits.grad.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_cross_entropy_of_half_precision_logits_is_computed_in_float32(dtype):
    logits = torch.tensor([[8.0, -8.0], [0.0, 0.0]], dtype=dtype)
    value = CrossEntropyLoss(2)(logits, torch.tensor([0, 1]))
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(functional.cross_entropy(logits.float(), torch.tensor([0, 1])).item())

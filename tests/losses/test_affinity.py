import pytest
import torch

from fscl.losses.affinity import affinity_matrix


@pytest.mark.parametrize("classes", [2, 7])
def test_a_class_is_like_itself_and_unlike_the_others(classes):
    assert torch.equal(affinity_matrix("identity", classes), torch.eye(classes))
    simplex = affinity_matrix("simplex", classes)
    assert torch.equal(simplex.diagonal(), torch.ones(classes))
    assert simplex.sum(dim=1).abs().max() < 1e-6  # directions with these cosines sum to zero

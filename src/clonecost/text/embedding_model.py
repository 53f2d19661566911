"""A student for texts: a head on the sentence embedding of a public encoder."""

import torch
from torch import Tensor, nn

from clonecost.data.text_rows import decode
from clonecost.text.sentence_embedding import sentence_encoder
from clonecost.text.soft_regression import fit_soft
from clonecost.types import Progress, no_progress


class EmbeddingModel(nn.Module):
    """(n, bytes) texts -> (n, K) logits, float64. The encoder is not part of its weights.

    Args:
        weight: (384, K).
        bias: (K,).
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)

    def forward(self, rows: Tensor) -> Tensor:
        found = sentence_encoder()(decode(rows)).double().to(self.bias.device)
        return found @ self.weight + self.bias


def fit_head(
    embedded: Tensor, answers: Tensor, progress: Progress = no_progress
) -> EmbeddingModel:  # fmt: skip
    """The head for (n, 384) embeddings of texts with (n, K) answers."""
    found = fit_soft(embedded.double().cpu().numpy(), answers.double().cpu().numpy(), progress)
    return EmbeddingModel(torch.from_numpy(found[1:].copy()), torch.from_numpy(found[0].copy()))

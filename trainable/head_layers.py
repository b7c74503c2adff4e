"""What a head is made of: torch alone, since its trials need not wait for transformers.

Goes into a model folder beside `head_model`.

Shapes: B documents, T word pieces, H hidden, F = 2 H features, L labels.
"""

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """From features to logits: dropout and a linear layer, or one hidden layer between two.

    Args:
        num_features: F.
        hidden: units of the hidden layer (GELU); 0: none.
        num_labels: L.
        dropout: probability, of the features and of the hidden layer.
    """

    def __init__(self, num_features: int, hidden: int, num_labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.hidden = nn.Linear(num_features, hidden) if hidden else None
        self.classifier = nn.Linear(hidden or num_features, num_labels)

    def forward(self, features_BF: Tensor) -> Tensor:
        """Logits [B, L]."""
        x = self.dropout(features_BF)
        if self.hidden is not None:
            x = self.dropout(nn.functional.gelu(self.hidden(x)))
        return self.classifier(x)


def pool(hidden_BTH: Tensor, mask_BT: Tensor) -> Tensor:
    """Features [B, 2 H] float32: the last hidden state of [CLS], and the mean over real pieces."""
    hidden_BTH = hidden_BTH.float()
    weight_BT1 = mask_BT[:, :, None].float()
    mean_BH = (hidden_BTH * weight_BT1).sum(1) / weight_BT1.sum(1)
    return torch.cat([hidden_BTH[:, 0], mean_BH], dim=1)

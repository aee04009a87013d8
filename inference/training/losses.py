"""Losses on pictures [B, 3, h, w] in -1..1 and the weight maps of mouth and lower half."""

import torch
from torch import Tensor
from torch.nn import functional

from inference.config import FACE_SIZE, HIDDEN_ROW
from inference.training.mask import mouth_mask

# Rows and columns of the face crop that the lips of a drawn face reach in any shape, with a margin.
MOUTH_ROWS = (156, 232)
MOUTH_COLUMNS = (80, 177)
UPPER_WEIGHT = 0.15  # above the mask nothing is pasted


def mouth_weights(mouth: float, size: int = FACE_SIZE) -> Tensor:
    """Weight map [1, 1, size, size] of the face crop: ``mouth`` around the lips, 1 below the mask's edge."""
    scale = size / FACE_SIZE
    weights = torch.full((1, 1, size, size), UPPER_WEIGHT)
    weights[..., int((HIDDEN_ROW - 16) * scale) :, :] = 1.0
    rows = slice(int(MOUTH_ROWS[0] * scale), -int(-MOUTH_ROWS[1] * scale // 1))
    columns = slice(int(MOUTH_COLUMNS[0] * scale), -int(-MOUTH_COLUMNS[1] * scale // 1))
    weights[..., rows, columns] = mouth
    return weights


def masked_weights(mouth: float) -> Tensor:
    """Weight map [1, 1, 256, 256] of what is seen after pasting: the mouth's mask, ``mouth`` around the lips."""
    mask = torch.from_numpy(mouth_mask()).float() / 255
    return 0.05 + mask * mouth_weights(mouth)


def picture_loss(predicted: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """L1 + edges + a Laplacian pyramid of two levels, weighted by place; one number a sample, [B]."""
    total = _mean(weights * (predicted - target).abs())
    total = total + 0.6 * _mean(weights[..., 1:-1, 1:-1] * (_edges(predicted) - _edges(target)).abs())
    difference, place = predicted - target, weights
    for _ in range(2):
        smaller = functional.avg_pool2d(difference, 2)
        detail = difference - functional.interpolate(smaller, scale_factor=2.0)
        total = total + 0.6 * _mean(place * detail.abs())
        difference, place = smaller, functional.avg_pool2d(place, 2)
    return total + _mean(place * difference.abs())


def _mean(values: Tensor) -> Tensor:
    return values.flatten(1).mean(1)


def _edges(image: Tensor) -> Tensor:
    """Sobel derivatives of the channels' mean, [B, 2, h - 2, w - 2]."""
    kernel = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    both = torch.stack([kernel, kernel.T])[:, None].to(image)  # [2, 1, 3, 3]
    return functional.conv2d(image.mean(1, keepdim=True), both)

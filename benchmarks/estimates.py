"""Means of measurements with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Z95 = 1.959963984540054


class MeanEstimate(tuple[float, float]):
    """(mean, half of the 95 % interval); the half is NaN for fewer than two values."""

    def text(self, digits: int = 2, *, sign: bool = False) -> str:
        """The mean and its interval, "-" without values."""
        mean, half = self
        if math.isnan(mean):
            return "-"
        width = f"{mean:{'+' if sign else ''}.{digits}f}"
        return width if math.isnan(half) else f"{width} ± {half:.{digits}f}"


def estimate(values: Sequence[float]) -> MeanEstimate:
    """Mean of independent values, with the normal 95 % interval of that mean."""
    if not values:
        return MeanEstimate((math.nan, math.nan))
    mean = float(np.mean(values))
    if len(values) < 2:
        return MeanEstimate((mean, math.nan))
    return MeanEstimate((mean, Z95 * float(np.std(values, ddof=1)) / math.sqrt(len(values))))

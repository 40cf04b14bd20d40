"""Scores of predictions, one module per form of answer; no training stack."""

from xautolm.evaluate.metrics.rows import worst_rows
from xautolm.evaluate.metrics.scores import task_scores
from xautolm.evaluate.metrics.sequence import classification_scores, softmax

__all__ = ["classification_scores", "softmax", "task_scores", "worst_rows"]

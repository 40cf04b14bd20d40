"""Task kinds: what their rows hold, how a family of models learns them, and what they are scored by. No torch."""

from xautolm.tasks.kinds import KINDS, Formulation, TaskKind, kind_of, why_unsupported

__all__ = ["KINDS", "Formulation", "TaskKind", "kind_of", "why_unsupported"]

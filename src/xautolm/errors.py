"""Errors that users see. Each message says what was expected, what came and what to do.

XAutoLMError                 base of all; the command line exits with `exit_code`
+-- UsageError        (2)    wrong options, or options that contradict each other
|   +-- ConfigError   (2)    one or more settings are wrong; all mistakes in one message
+-- DataError         (2)    the data cannot be used as given
+-- ModelError        (2)    a model that was named cannot be loaded
+-- RunFolderError    (2)    a run folder is missing, in use, damaged or already there
+-- StoreError        (1)    the experience store cannot be read or written
+-- RunError          (1)    the run ended without a working pipeline
+-- WorkerError       (1)    a worker process or one of its jobs failed
"""

from __future__ import annotations


class XAutoLMError(Exception):
    """Base of all errors that XAutoLM raises on purpose."""

    exit_code = 1


class UsageError(XAutoLMError):
    """Wrong options, or options that contradict each other."""

    exit_code = 2


class ConfigError(UsageError):
    """One or more settings are wrong; the message lists all of them."""


class DataError(XAutoLMError):
    """The data cannot be used as given."""

    exit_code = 2


class ModelError(XAutoLMError):
    """A model that was named cannot be loaded."""

    exit_code = 2


class RunFolderError(XAutoLMError):
    """A run folder is missing, in use, damaged or already there."""

    exit_code = 2


class StoreError(XAutoLMError):
    """The experience store cannot be read or written."""


class RunError(XAutoLMError):
    """The run ended without a working pipeline."""


class WorkerError(XAutoLMError):
    """A worker process could not be started, or a job other than a trial failed in it.

    Attributes:
        reason: what went wrong, without where to read more.
    """

    def __init__(self, message: str, *, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason or message

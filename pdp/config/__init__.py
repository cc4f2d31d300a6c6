"""The configuration: one model, parsed once at start (file < environment < flags), passed down."""

from pdp.config._load import Loaded, load
from pdp.config._model import (
    Config,
    EvaluationConfig,
    LogConfig,
    LogFormat,
    LogLevel,
    StateConfig,
    TlsConfig,
    Visibility,
)
from pdp.config._reference import reference, settings

__all__ = [
    "Config",
    "EvaluationConfig",
    "Loaded",
    "LogConfig",
    "LogFormat",
    "LogLevel",
    "StateConfig",
    "TlsConfig",
    "Visibility",
    "load",
    "reference",
    "settings",
]

"""The core in this process: an engine to embed, a server to run."""

from pdp.engine._engine import Engine, PolicyInfo
from pdp.engine._sample import sample_policies, sample_questions
from pdp.engine._server import Addresses, Server

__all__ = ["Addresses", "Engine", "PolicyInfo", "Server", "sample_policies", "sample_questions"]

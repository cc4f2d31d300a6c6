"""For tests of programs that ask for decisions: a client without a server, and assertions that explain.

The pytest plugin of this package adds the fixtures `pdp_policies`, `pdp_engine`,
`pdp_server` and `pdp_client`; see `pdp.testing.plugin`.
"""

from pdp.testing._assertions import assert_allowed, assert_denied
from pdp.testing._static import StaticClient, allow, deny

__all__ = ["StaticClient", "allow", "assert_allowed", "assert_denied", "deny"]

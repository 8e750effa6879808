"""The real servers of the integration tests, for the fault tests."""

from tests.integration.conftest import (
    database_names,
    database_url,
    embedded_servers,
    redis_url,
    tools_venue,
    venue_process,
)

__all__ = ["database_names", "database_url", "embedded_servers", "redis_url", "tools_venue", "venue_process"]

"""The real servers that the simulated ones are compared with."""

from tests.integration.conftest import database_names, database_url, embedded_servers, redis_url

__all__ = ["database_names", "database_url", "embedded_servers", "redis_url"]

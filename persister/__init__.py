"""The persister: two independent readers of the events, one writes history to Postgres, one views to Redis."""

"""The deterministic engine: a pure core and the shell that reads, applies, publishes and recovers."""

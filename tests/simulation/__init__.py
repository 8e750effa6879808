"""The whole venue in one process on virtual time: one seed, one history, with faults, and a verdict."""

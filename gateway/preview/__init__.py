"""The order calculator: a question to the core on a scratch state, and its answer in figures."""

"""The door: HTTP in, one log entry per instruction, answers from this process's own tail of the events."""

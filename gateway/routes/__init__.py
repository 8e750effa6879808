"""One file a subject: parse, append, await, render."""

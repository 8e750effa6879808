"""Who is calling: links, sessions and keys."""

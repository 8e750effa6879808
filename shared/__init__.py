"""What more than one process must agree on; imports no sibling package."""

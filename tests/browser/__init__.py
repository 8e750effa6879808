"""The page in a real browser, over a live venue: a package, so that both stop when its last test is over."""

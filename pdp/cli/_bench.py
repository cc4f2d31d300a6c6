"""`pdp bench`."""
def bench() -> None:
    """Bench."""

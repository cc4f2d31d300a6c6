"""`pdp test`."""
def test() -> None:
    """Test."""

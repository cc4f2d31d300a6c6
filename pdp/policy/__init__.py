"""What policy authors do: validate, test, compare with other engines."""

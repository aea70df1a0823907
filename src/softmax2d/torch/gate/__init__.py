"""The gate for tensors, and the tuples that it returns: a source and options."""

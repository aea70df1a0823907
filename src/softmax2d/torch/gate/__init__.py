"""The gate for tensors, and what it lets through: a source and options, as operators take them."""

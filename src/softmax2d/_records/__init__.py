"""Saved results: the fields of JSON, its files, the common envelope."""

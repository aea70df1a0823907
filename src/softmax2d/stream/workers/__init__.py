"""Tiles in threads and on clusters, signals, the summary."""

"""A network over an image, window by window."""

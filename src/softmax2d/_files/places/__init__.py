"""Where the pixels of two files lie in the world, compared and in words."""

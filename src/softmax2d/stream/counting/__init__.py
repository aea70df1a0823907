"""Statistics and samples of logits beside their truth, tile by tile."""

"""Counts of predictions beside the truth, and the measures made of them."""

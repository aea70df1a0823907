"""Boundaries of label maps beside the truth's: boundary IoU, boundary F, surface Dice."""

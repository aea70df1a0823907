"""What files of every format share as sources of logits."""

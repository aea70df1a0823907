"""Files as sources of logits and as results: formats, and what is refused of them."""

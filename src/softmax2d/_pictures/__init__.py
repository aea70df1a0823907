"""Names and colours of classes, and the preview picture made of them."""

"""A 1x1 convolution and its loss in one, in bands."""

"""What examples/train_segmentation.py is made of: data, networks, training, figure."""

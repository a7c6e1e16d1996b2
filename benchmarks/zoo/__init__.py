"""What converts: the networks of torchvision with random weights, measured one by one, as a table."""

"""What a record keeps of every test image, packed as text, and the metric of a resampled test set."""

"""What has moved since a baseline."""

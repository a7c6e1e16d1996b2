"""Networks and the Lightning modules that train and evaluate them, one per task."""

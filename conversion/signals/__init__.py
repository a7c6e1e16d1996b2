"""What a value over time is, and how spikes code values."""

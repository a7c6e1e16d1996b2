"""When an image stops."""

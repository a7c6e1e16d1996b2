"""What all fast backends share: which operations fuse, which neurons fire in kernels, fixed point."""

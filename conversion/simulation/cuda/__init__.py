"""The backend for NVIDIA GPUs: Triton kernels for neurons and pools, cuDNN for layers with weights."""

"""What runs on the GPU, in Triton; nothing imports this room before a kernel is launched.

Triton decides while these files are imported whether they are compiled or, with TRITON_INTERPRET=1 in the
environment, interpreted on the CPU.
"""

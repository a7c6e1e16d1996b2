"""What a machine with a GPU is asked for: spikes as on the CPU, and throughput and memory side by side.

python -m benchmarks.gpu --save gpu.json

It imports PyTorch, Triton, NumPy, SciPy and our own packages `conversion`, `energy` and
`spikemark_plugins`: a bare machine can run it from a checkout.
"""

"""The same simulation on CPUs with a C compiler: fused layers, integer weights, spikes as bytes or bits."""

"""The baseline `ptq`: the same network with quantised activations instead of spikes."""

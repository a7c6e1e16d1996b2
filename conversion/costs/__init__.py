"""What a converted network costs: fan-out of every spike, operations, energy."""

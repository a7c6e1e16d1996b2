"""How fast converted networks are simulated, side by side with others, on the same work.

python -m benchmarks.speed --save speed.json         many networks, ratios to a plain loop
python -m benchmarks.speed.depth --data-root DIR     two networks with rates, memory and top-1
"""

"""How fast converted networks are simulated, side by side with others, on the same work.

python -m benchmarks.speed --data-root DIR --save speed.json
"""

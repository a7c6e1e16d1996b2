"""What a converted network runs by: graph, roles, the method's parts, fitted layers."""

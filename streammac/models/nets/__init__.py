"""What nested nets are made of: activations, losses, layers, and their W and Z steps. Pure functions of arrays.

`streammac.models.deep_net` puts them together.
"""

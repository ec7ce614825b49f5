"""The lecture as software: kernels, architecture tables, complexity and the labs.

Only the faces import this room.
"""

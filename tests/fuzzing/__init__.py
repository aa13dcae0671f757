"""Hostile values in valid encodings: what a peer may send that means harm, made from the types of the messages' fields.

``values`` makes messages, ``__main__`` sends them to the processes of a real cluster: ``make fuzz``.
"""

"""Classifiers of other libraries as hash functions: how they learn bits, and how they travel.

A learner travels as named arrays, like any other submodel, and never as code. A *converter* makes a learner
of its arrays where a block is visited, lets it learn from minibatches, and makes arrays of it again. Which
kinds there are is in `registry`; the family that uses them is `streammac.models.learner_codes`.
"""

"""Gradients as codewords: workers send sums of parts of a gradient, and what arrives is used at once.

The source is Soto, Ilmer, Guan & Li, ICML 2022 (PMLR 162:20444), *lightweight projective derivative codes*. A
derivative along a direction is linear in the direction, so any linear code can be laid over the parts of a gradient
(its partial derivatives, cut into as many vectors), whatever the model. The code is of low weight: each codeword is a
sum of few parts. So it can be decoded by peeling as codewords arrive, each arrival an update, and nobody waits until
all can be decoded. What is erased is noise in the gradient, which stochastic gradient descent bears.

What had to be decided, since only the paper's ideas were at hand and not its formulas: the information that codewords
have in common is the squared cosine of the angle between them (the frame potential), coefficients are all 1, and a
code is searched for that loses the fewest parts, then has the least in common (`design`).

All workers differentiate at the same parameters, on the same points: a sum of parts of different points would decode
to nothing. So the points of a step have to be with every worker that sends sums of it. On shards that stay where they
are that is not so, which is why this is no way to train a cluster of streammac's as it is.

============  ==================================================================
module        its idea
============  ==================================================================
``code``      which sums each worker sends; gradients in parts
``design``    a search for codes that lose little
``decoder``   peeling, and the projection of what it leaves
============  ==================================================================
"""

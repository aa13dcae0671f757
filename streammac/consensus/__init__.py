"""Training by consensus: every worker has its own copy of the parameters, and averages with who is ready.

As in `streammac.ring`, nothing here knows how a message travels, what time it is, or what is trained: parameters are a
vector, and a step is asked for. The source is Xiong, Yan, Singh & Li 2021 (arXiv 2102.06280), *consensus with dynamic
backup workers*.

**The life of an iteration.** A member makes a gradient step on its own points and offers the result to its neighbours.
Then it waits, until a `Rule` ends the iteration: when all are heard, or all but a fixed number (the backup workers),
or at the paper's threshold (`rules.Threshold`). It averages with those it has heard, and begins the next one.

==============  ============================================  ===========================================
a member is     until                                         meanwhile it
==============  ============================================  ===========================================
stepping        its step is made                              tells that iterations have ended without it
waiting         the rule ends the iteration                   collects offers
agreeing        everybody it has heard says whom it has heard  keeps what comes for the next iteration
==============  ============================================  ===========================================

**Who averages with whom** both ends must agree on, or the average of all copies would not stay what it is. A member
that ends an iteration tells its neighbours whom it has heard; an edge counts if each of its ends has heard the other.
Who has been heard is not at its step any more, so with a threshold the iteration ends there at once, and it answers:
nobody waits for a slow worker in order to agree. The weight of an edge is 1 / (1 + the larger number of neighbours
that one of its ends has heard): Metropolis weights, symmetric and doubly stochastic. (The paper counts edges that are
active. Ends know only whom they have heard; the larger count makes the weight smaller, and saves another round of
messages.)

**The threshold.** A path connects all members, and in each *period*, of at least as many iterations as it has edges,
every one of these is to be used once. An iteration ends when an edge is there that has still to be used: its two ends
see it, end the iteration, and whoever hears that an iteration has ended ends it, too. When all have been used, and
the period has still iterations left, any edge is as good. So within each period all are connected, and nobody waits
for the slowest but once in a period. (In the paper time is common to all, a period has exactly as many iterations,
and a worker's times are independent from iteration to iteration. Here there is no clock; what has been used everybody
tells everybody, `period`. And the two ends wait for three quarters of their neighbours, or for all but one: with many
workers the first edge is there when hardly anyone else is, and copies that hardly average drift apart.)

**A slow worker** is at its step while iterations end. If it missed one, and nobody offers in the next one yet, it was
just late: it goes on alone from what it has. Else its next step would be late as well; it takes this one to the
iteration that the others are in. Its step was from its own parameters, which nobody has changed meanwhile: it is not
stale, there are just fewer of them. (The paper does not say what becomes of a worker that is always slow.)

**Whoever takes part is there from the first iteration to the last.** Who is lost, joins or hangs is the coordinator's
business, as in the ring: an epoch is so many iterations of the same members, and where it is disturbed they go on
alone (`streammac.averaging`). What nothing here promises: links keep order and lose nothing, or the average moves by
as much as is lost, and members wait until somebody notices.

==============  =======================================================================
module          its idea
==============  =======================================================================
``member``      one member: events in, actions out
``rules``       how long it waits
``period``      which edges have been used, as everybody gets to know it
``weights``     with which weights neighbours average
``graph``       who are neighbours
``push_sum``    averaging where links go one way: nobody waits for an answer
``messages``    what members tell each other, are told, and ask for
==============  =======================================================================
"""

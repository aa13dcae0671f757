"""Batches on their way into shards, each stored exactly once in the cluster; used wherever points are sent.

The life of a batch, which its batch id ``(source, incarnation, sequence)`` names for ever. To its sender it is in
exactly one of these states at any time:

=============  ===================================  ==============================================================
a batch is     it is in                             and leaves it
=============  ===================================  ==============================================================
*waiting*      `Sender.waiting`: it belongs to      when a worker has credit for it: under way there
               nobody
*under way*    `Session.under_way`: it belongs to   by the worker's answer, stored or a duplicate: settled.
               that worker and no other, however    When the worker refuses it, drains or has gone: returning
               often it is sent again
*returning*    `Session.returning`: revoked, the    by the worker's consent, or where it is gone and nobody holds
               worker may hold a copy, on its disk  it back (``on_lost``): waiting, or given up if it was refused
               or unread in a socket                too often
*settled*      no container: it is stored           never
*given up*     `Sender.given_up`                    when the caller has dealt with it: it is settled as well
=============  ===================================  ==============================================================

One that a former life of the process had handed to a worker is under way there as soon as it is put in again.

What is revoked somewhere is told to the worker (`OpenSession`) in a new *session*, before it gets any more points.
It withdraws such copies and consents (`Credit`), and nothing of an older session is believed by either side.

So two rules hold at any time: one owner, and one session with each worker.

=================  ===============================================================================================
`sender`           the state machine: which batch goes where, and what is settled
`session`          what it has to do with one worker: the handshake, and the batches there
`choice`           who gets the next batch; `waiting`: those that nobody has got yet
`records`          what must outlive the process, written to the `ledger` before what it speaks of is sent
`receiver`         the worker's side
`handover`         moves batches from worker to worker: a `scan` goes through its shards, and takes those of which
                   `closing` says that nobody else will speak of them
=================  ===============================================================================================
"""

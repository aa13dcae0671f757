"""Batches on their way into shards, each stored exactly once in the cluster; used wherever points are sent.

The life of a batch, which its batch id ``(source, incarnation, sequence)`` names for ever:

1. It *waits* until a worker has credit for it (`lanes`), and is *handed* to that worker. From then on it belongs
   to that worker and no other, however often it is sent again, until
2. the worker says that it is stored (or was: a duplicate). It is *settled*.
3. Or it is *taken back*: the worker has gone, refuses it, or drains. The batch is then *revoked* there: the worker
   may hold a copy, on its disk or unread in a socket. Before it gets any more points, in a new *session*, it
   is told so; it withdraws such copies, and nothing of an older session is believed by either side. Where the worker
   can be reached, the batch waits for its consent; where it is gone, the batch goes to another at once.

So two rules hold at any time: one owner, and one session with each worker. `sender` is the state machine, `ledger`
what of it outlives the process: records are written before what they speak of is sent. `receiver` is the
worker's side; `handover` moves batches from worker to worker, once `closing` says that nobody else will speak of them.
"""

"""The ParMAC protocol as state machines without sockets, threads or clocks.

Two rules hold in this package. Everything that decides where a submodel goes next lives here; and
nothing here knows how a message travels, what time it is, or what kind of model is trained.

**The life of a token.** A token is one block of submodels on its way. At the start of an epoch each
block starts at the member that the epoch's ring order assigns to it, with an *itinerary* of all
members. A member that receives it trains it on its own shard, strikes itself off the itinerary and
sends it to the next member of the ring order that is still on it. When the itinerary is empty the lap
is over: the last member closes it (`NestedModel.end_lap`) and refills the itinerary, until the block
has made its training laps. Then the token is *final*: one more round, in which everybody keeps a
copy and nobody trains. A block that is trained *alone* is trained where it starts, and just passed on by
the others in its one lap. `Member._settle` decides what becomes of a block that is done at a member,
`Member._pass_on` to whom it goes, by `itinerary.next_stop`.

**The life of an epoch.** A member that holds a final copy of every block runs its Z step, alone, then
reports and opens the next epoch at once. There is no barrier: tokens of an epoch that a member has
not opened yet wait in its queue.

==============  ============================================  ========================================
a member is     until                                         meanwhile it
==============  ============================================  ========================================
``joining``     it has the model and all final copies         collects the copies of the epoch under way
``training``    it holds every block's final copy             trains, copies and forwards tokens
``z_step``      its own Z step is done                        queues tokens of the next epoch
``resting``     somebody has something to train for           answers views
==============  ============================================  ========================================

**Rest.** When nothing is left to train, members do not open the next epoch: they *rest* before it. The first of
them that gets new points, or an order, opens it and wakes the others with `Wake`; so does every view, since somebody
has come or gone. Nobody is woken any more once the epochs that were asked for are done.

**The life of a view.** Who is in the ring changes while tokens are anywhere. The coordinator announces a
`View`; a member that gets it is *frozen*: it finishes the job that it is at, but passes nothing on, and
answers with its `Holdings`. From these the coordinator decides where the ring is (`recovery`), and tells
everybody how it goes on (`Resume`): of each block the most advanced copy, with those struck off its
itinerary who are gone. Tokens of an older view are dropped wherever they turn up.

==================  ======================================================================================
module              its idea
==================  ======================================================================================
``member``          a worker's side: events in, actions out
``member_actions``  what it asks of the process round it
``epoch``           what it knows and holds of the epoch under way: a value
``current_view``    the view that it is in: a value
``admission``       what becomes of a token that arrives
``agenda``          what a member still has to train for
``itinerary``       where a token goes next
``rejoin``          how a member goes on after a view
``view_change``     the coordinator's half: one view from announcement to resumption
``recovery``        how the ring goes on, from what its members hold
==================  ======================================================================================

What the coordinator knows and decides besides is in `streammac.coordinator`.
"""

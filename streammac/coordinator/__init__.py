"""What the coordinator knows and decides: state machines without sockets, threads or clocks.

The ring itself, tokens and views, is `streammac.ring`; here is who is there, when training begins and what an epoch
came to, where the feed goes, and what has become of every point. The process round it is `workers.coordinator`.

=======================  ==================================================================================
module                   its idea
=======================  ==================================================================================
``coordinator``          the whole: messages in, actions out
``coordinator_actions``  what it asks of the process round it
``membership``           who is there, who was
``failure_detector``     when silence means trouble
``start_condition``      when there is enough to begin training with
``view_manager``         view after view: when one is due, who carries the ring into it
``stall``                when nothing moves although all are well
``partitions``           which way between two members does not carry
``epoch_reports``        reports put together
``progress``             how far training has come, and what a restarted cluster goes on from
``continuation``         when the penalty begins anew
``routing``              where new points go, and who is told
``moves``                the life of an order to hand over points
``balance``              what share each worker is to get
``rebalance``            when old points move
``accounts``             what has become of every point
``failures``             how often processes failed, and how long the ring took to recover
``health``               how the cluster is: the answers to four questions
``events``, ``status``   what people see
=======================  ==================================================================================
"""

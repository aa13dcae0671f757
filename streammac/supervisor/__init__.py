"""A whole cluster on this machine: started, watched, kept alive, asked for more or fewer workers, ended in good order.

`local_cluster.LocalCluster` is the way in. `restart_policy`, `roster` and `milestones` decide and remember,
`command_lines` says how processes are called and `ending` how they end; `processes`, `supervised_process`, `requests`
and `supervisor_status` are what it touches the machine with.
"""

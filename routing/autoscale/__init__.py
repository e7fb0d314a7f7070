"""How many replicas an engine should have, from what is measured of its traffic. Pure: looked at every few seconds.

    Signals ─> Arrivals  how much comes, how sure that is, whether it grows
            ─> staffing  the fewest replicas that keep the SLO at such a load, and what a backlog needs beside
            ─> Autoscaler  when to follow: at once upwards; downwards late, and only as far as the survivors can serve
            ─> Decision  a number, and one sentence that says why

The unit of load is the replica: 3.2 means that 3.2 replicas, always busy, would just do.
"""

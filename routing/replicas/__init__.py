"""What is known of each replica.

replica.py       one of them: its identity and what it carries
replica_table.py    all of them, and what is kept of those that leave
reported.py      what engines say of their own load, and for how long it is believed
rates.py, ewma.py, quantile.py    what is learned of how fast it is
quota.py         what a provider's limits make of it
"""

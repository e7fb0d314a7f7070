"""What the gateway says to a Kubernetes API server, by the HTTP client that asks engines.

api.py         requests, and the place and the credentials that they need
lines.py       what a watch is made of
watch.py       everything of one kind, followed: list, watch, and again
slices.py      the replicas behind one Service, from its EndpointSlices (pure)
pool.py        the replicas behind one InferencePool, from it and its pods (pure)
pool_watch.py  both of them, followed
workload.py    a Deployment or LeaderWorkerSet: its /scale, its pods, who goes first
pods.py        why a pod does not serve yet (pure)
lease.py       who of several acts, by a Lease (pure)

I want to change what makes an endpoint a replica: slices.py; a pod of a pool: pool.py. What a broken watch does:
watch.py. Who is followed, and what is told of it: `gateway.control.discovery`. Who is scaled, and when:
`gateway.control.scaling.cluster`.
"""

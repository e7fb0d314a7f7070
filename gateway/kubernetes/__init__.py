"""What the gateway says to a Kubernetes API server, by the HTTP client of the control plane.

api.py         requests, and the place and the credentials that they need
watch.py       everything of one kind, followed: list, watch, and again
slices.py      the replicas behind one Service, from its EndpointSlices (pure)

I want to change what makes an endpoint a replica: slices.py. What a broken watch does: watch.py. Who is followed, and
what is told of it: `gateway.control.discovery`.
"""

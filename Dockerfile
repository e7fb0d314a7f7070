# The gateway: `penstock serve`, and `penstock simulate` for simulated vLLM servers. Nothing in it compiles, and its root
# may be read-only: it writes to /var/lib/penstock and /tmp.
#
#   docker build --tag penstock:0.1.0 .
#
# BASE is any image with the wanted Python 3.11 to 3.14 as python3; name it by its digest to build the same twice.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
ARG BUILD_PACKAGES="gcc libc6-dev"
ARG EXTRAS="postgres,kv-events,kubernetes,bandit"
# 0 leaves the request path as Python: built in a minute, and slower by half.
ARG COMPILE=1
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
# hadolint ignore=DL3008
RUN apt-get update --quiet=2 \
    && apt-get install --yes --quiet=2 --no-install-recommends ${BUILD_PACKAGES} \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml README.md LICENSE hatch_build.py ./
COPY configs configs
COPY docs docs
COPY loadtests loadtests
COPY routing routing
COPY engines engines
COPY gateway gateway
# The request path as C; then an environment that has it, and no installer.
RUN python3 -m venv /opt/build \
    && PENSTOCK_COMPILE="${COMPILE}" /opt/build/bin/pip wheel --quiet --no-deps --wheel-dir /wheels . \
    && python3 -m venv /opt/penstock \
    && /opt/penstock/bin/pip install --quiet "$(echo /wheels/penstock-*.whl)[${EXTRAS}]" \
    && /opt/penstock/bin/pip uninstall --quiet --yes pip setuptools

FROM ${BASE}
COPY --from=build /opt/penstock /opt/penstock
ENV PATH=/opt/penstock/bin:/usr/local/bin:/usr/bin:/bin PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN install --directory --owner=65532 --group=65532 /var/lib/penstock
WORKDIR /var/lib/penstock
USER 65532:65532
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["penstock"]
CMD ["serve", "--config", "/etc/penstock/penstock.yaml"]

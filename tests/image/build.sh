#!/usr/bin/env bash
# Builds the Dockerfile without a daemon, on a base made here, and asks the image for what it promises.
#
# usage: tests/image/build.sh      (root, buildah and mmdebstrap; about five minutes)
#        COMPILE=0 tests/image/build.sh     the same of the image that is not compiled, in two
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
compile=${COMPILE:-1}
image=penstock-$$:test base=penstock-base-$$:test
export BUILDAH_ISOLATION=chroot STORAGE_DRIVER=vfs
container=
finish() {
  [ -z "$container" ] || buildah rm "$container" >/dev/null
  buildah rmi "$image" "$base" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT

make_base() { # an image of this machine's Debian with Python, of the packages that apt here knows; made once
  local tar=.envs/image/base.tar sources=/etc/apt/sources.list.d/debian.sources
  if [ ! -f "$tar" ]; then
    [ -f "$sources" ] || sources=/etc/apt/sources.list
    . /etc/os-release
    mkdir -p .envs/image
    local make=(mmdebstrap --quiet --variant=minbase --include=python3,ca-certificates)
    "${make[@]}" "$VERSION_CODENAME" "$work/base.tar" "$sources" || # a download that broke
      "${make[@]}" "$VERSION_CODENAME" "$work/base.tar" "$sources"
    mv "$work/base.tar" "$tar"
  fi
  local scratch
  scratch=$(buildah from scratch)
  buildah add --quiet "$scratch" "$tar" / >/dev/null
  buildah commit --quiet --rm "$scratch" "$base" >/dev/null
}

# The build trusts whom this machine trusts.
trusted=/etc/ssl/certs/ca-certificates.crt
printf '[global]\ntimeout = 180\ncert = %s\n' "$trusted" >"$work/pip.conf"

make_base
buildah bud --quiet --pull-never --build-arg BASE="localhost/$base" --build-arg COMPILE="$compile" \
  --build-arg BUILD_PACKAGES="gcc libc6-dev python3-dev python3-venv" \
  --volume "$work/pip.conf:/etc/pip.conf:ro" --volume "$trusted:$trusted:ro" --tag "$image" . >/dev/null
container=$(buildah from --pull-never "localhost/$image")

inside() { buildah run "$container" -- "$@"; }
promise() { # promise "what" COMMAND...: it must succeed
  local what=$1
  shift
  "$@" >"$work/said" 2>&1 || { echo "image: not so: $what" >&2; cat "$work/said" >&2; exit 1; }
  echo "image: $what"
}

promise "it runs as nobody in particular" test "$(inside id -u)" = 65532
promise "its data directory is its own, and the rest is not" inside sh -c 'touch /var/lib/penstock/x /tmp/x && ! touch /opt/penstock/x'
promise "it has no compiler and no installer" inside sh -c '! command -v gcc cc pip pip3 make'
suffix=$([ "$compile" = 0 ] && echo .py || echo .so)
promise "its request path is a $suffix" inside python -c "import gateway.flight as it; assert it.__file__.endswith('$suffix'), it.__file__"
promise "it says its version" inside penstock --version
buildah copy --quiet "$container" configs/compose/penstock.yaml /etc/penstock/penstock.yaml >/dev/null
promise "it takes the configuration of compose.yaml" inside penstock check-config /etc/penstock/penstock.yaml
buildah copy --quiet "$container" tests/image/ask.py /tmp/ask.py >/dev/null
promise "it serves: a chat through the gateway from a simulator beside it" inside python /tmp/ask.py
root=$(buildah mount "$container")
echo "image: /opt/penstock is $(du --summarize --block-size=MiB "$root/opt/penstock" | cut -f1) on top of its base"
echo "7 passed, 0 failed"

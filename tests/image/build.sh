#!/usr/bin/env bash
# Builds the Dockerfile without a daemon, on a base made here, and asks the image for what it promises.
#
# usage: tests/image/build.sh      (root, buildah and mmdebstrap)
#        COMPILE=0 tests/image/build.sh     the same of the image that is not compiled, in two minutes
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
locked() { # locked COMMAND...: inside, as the image's user, where nothing but the two volumes may be written
  unshare --mount --pid --fork sh -euc '
    root=$1; shift
    mount --make-rprivate /
    mount --bind "$root" "$root"
    mount -o remount,bind,ro "$root"
    mount -t proc proc "$root/proc"
    mount --bind /dev "$root/dev"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t tmpfs -o uid=65532,gid=65532 tmpfs "$root/var/lib/penstock"
    cd "$root/var/lib/penstock"
    exec chroot --userspec=65532:65532 "$root" /usr/bin/env -i PATH=/opt/penstock/bin:/usr/local/bin:/usr/bin:/bin \
      PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 sh -c "cd /var/lib/penstock && exec \"\$@\"" sh "$@"' sh "$root" "$@"
}
promise() { # promise "what" COMMAND...: it must succeed
  local what=$1
  shift
  "$@" >"$work/said" 2>&1 || { echo "image: not so: $what" >&2; cat "$work/said" >&2; exit 1; }
  echo "image: $what"
}

promise "it runs as nobody in particular" test "$(inside id -u)" = 65532
promise "its data directory is its own, and the rest is not" inside sh -c 'touch /var/lib/penstock/x /tmp/x && ! touch /opt/penstock/x'
promise "it has no compiler and no installer" inside sh -c '
  for tool in gcc cc c++ g++ clang tcc as ld make cmake pip pip3 easy_install; do ! command -v "$tool" || exit 1; done
  found=$(find / -xdev \( -name "cc1*" -o -name "*-gcc" -o -name "*-gcc-[0-9]*" -o -name "*-ld.*" -o -name pip -path "*-packages/pip" \
    -o -path "/usr/include/python*/Python.h" \) 2>/dev/null)
  [ -z "$found" ] || { echo "$found"; exit 1; }'
suffix=$([ "$compile" = 0 ] && echo .py || echo .so)
promise "its request path is a $suffix" inside python -c "import gateway.flight as it; assert it.__file__.endswith('$suffix'), it.__file__"
build=$([ "$compile" = 0 ] && echo python || echo compiled)
promise "it says its version, and that it is $build" inside sh -c "penstock --version | grep '^penstock .*($build,'"
buildah copy --quiet "$container" configs/compose/penstock.yaml /etc/penstock/penstock.yaml >/dev/null
promise "it takes the configuration of compose.yaml" inside penstock check-config /etc/penstock/penstock.yaml
buildah copy --quiet "$container" tests/image/ask.py /opt/ask.py >/dev/null
root=$(buildah mount "$container")
promise "its root may be read-only" locked sh -c '! touch /opt/x /etc/x /usr/x /var/x 2>/dev/null && ! touch /opt/penstock/x 2>/dev/null && touch /tmp/x x'
promise "it serves there: a chat through the gateway from a simulator beside it" locked python /opt/ask.py
echo "image: /opt/penstock is $(du --summarize --block-size=MiB "$root/opt/penstock" | cut -f1) on top of its base"
echo "8 passed, 0 failed"

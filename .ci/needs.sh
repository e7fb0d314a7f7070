# Sourced by lanes: what a lane needs beside Python and make.

# needs COMMAND PACKAGE...: the Debian packages that bring COMMAND, installed when it is missing and we may.
needs() {
  local command=$1
  shift
  if command -v "$command" >/dev/null || [ -x "/usr/sbin/$command" ]; then return; fi
  install_packages "$command" "$@"
}

# needs_python_headers: Python.h of the Python that makes the environment, for a C compiler.
needs_python_headers() {
  local python=${PYTHON:-python3}
  local header="import pathlib, sysconfig; pathlib.Path(sysconfig.get_path('include'), 'Python.h').stat()"
  if "$python" -c "$header" 2>/dev/null; then return; fi
  install_packages "Python.h of $python" python3-dev
}

install_packages() {
  local missing=$1
  shift
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "This lane needs $missing; on Debian: apt-get install $*" >&2
    exit 1
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get install --yes --quiet=2 "$@" >/dev/null 2>&1 || { apt-get update --quiet=2 && apt-get install --yes --quiet=2 "$@"; }
}

#!/usr/bin/env bash
# Names each tool that is missing, in one line with how to get it; prints the Python to use.
set -euo pipefail

missing=0

absent() {
    echo "missing: $1" >&2
    missing=1
}

# True where version $1 is at least $2.
at_least() {
    [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]
}

python=""
for candidate in "${PYTHON:-}" python3.12 python3.11 python3.13 python3; do
    [ -n "$candidate" ] || continue
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        python=$(command -v "$candidate")
        break
    fi
done
[ -n "$python" ] || absent "Python 3.11 or newer with venv; install python3 and python3-venv, or set PYTHON"

for tool in cargo rustc; do
    version=$("$tool" --version 2>/dev/null | cut -d ' ' -f 2) || version=""
    if [ -z "$version" ] || ! at_least "$version" 1.88.0; then
        absent "$tool 1.88 or newer; install Rust from https://rustup.rs, or run: rustup update stable"
    fi
done

command -v cc >/dev/null || absent "cc, a C compiler; install gcc or clang, on Debian: apt-get install build-essential"
command -v make >/dev/null || absent "make; on Debian: apt-get install make"

[ "$missing" -eq 0 ] || exit 1
echo "$python"

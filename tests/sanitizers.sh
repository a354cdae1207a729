#!/usr/bin/env bash
# Runs the tests of the kernels once with AddressSanitizer and UndefinedBehaviorSanitizer: a build of its own in a
# temporary folder, in the environment that `make env` has made. Anything the sanitizers find ends it with an error.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"$PWD/.venv/bin/cmake" -S . -B "$folder/build" -G Ninja -DCMAKE_MAKE_PROGRAM="$PWD/.venv/bin/ninja" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPython_EXECUTABLE="$python" \
  -Dnanobind_DIR="$("$python" -m nanobind --cmake_dir)" \
  -DCMAKE_CXX_FLAGS="-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer" >/dev/null
"$PWD/.venv/bin/cmake" --build "$folder/build" >/dev/null
mkdir "$folder/site"
cp -r bids_flex "$folder/site/"
rm -f "$folder"/site/bids_flex/dynamics/_kernels*.so
cp "$folder"/build/_kernels*.so "$folder/site/bids_flex/dynamics/"
cp -r tests benchmarks pyproject.toml "$folder/"

# the interpreter below the environment, which knows nothing of the installed bids_flex; it leaks by design
cd "$folder"
libraries=$("$python" -c "import sysconfig; print(sysconfig.get_paths()['purelib'])")
export ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONPATH="$folder/site:$libraries"
LD_PRELOAD="$(g++ -print-file-name=libasan.so) $(g++ -print-file-name=libstdc++.so)"
export LD_PRELOAD
python=$(readlink -f "$python")
"$python" -c "import sys; from bids_flex.dynamics import _kernels; sys.exit(not _kernels.__file__.startswith('$folder'))"
"$python" -m pytest -q -p no:cacheprovider -m "not slow" tests/dynamics "$@"

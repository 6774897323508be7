# Sourced by the other scripts: numbered steps with their time, logs of failed ones, and installers that skip what is there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
LOGS=build/logs
mkdir -p "$LOGS"
STEP=0

# steps N: how many will follow.
steps() { STEPS=$1; }

# step WORDS COMMAND…: runs quietly, prints the elapsed time; on failure the end of its log, and the remedy in $REMEDY.
step() {
  local words=$1 log began=$SECONDS
  shift
  STEP=$((STEP + 1))
  log="$LOGS/$(basename "$0")-$STEP.log"
  printf '[%d/%d] %s …' "$STEP" "$STEPS" "$words"
  if "$@" >"$log" 2>&1; then
    printf ' %d s\n' $((SECONDS - began))
    return
  fi
  printf ' failed after %d s\n\n' $((SECONDS - began))
  tail -n 25 "$log"
  printf '\n%s failed.\n  cause: above\n  remedy: %s\n  log: %s\n' "$words" "${REMEDY:-mend the cause and run it again}" "$log"
  exit 1
}

# show WORDS COMMAND…: the same, with its output shown too.
show() {
  local words=$1 log began=$SECONDS
  shift
  STEP=$((STEP + 1))
  log="$LOGS/$(basename "$0")-$STEP.log"
  printf '[%d/%d] %s …\n' "$STEP" "$STEPS" "$words"
  if ! "$@" 2>&1 | tee "$log"; then
    printf '%s failed after %d s (see above).\n  log: %s\n' "$words" $((SECONDS - began)) "$log"
    exit 1
  fi
  printf '      %s: %d s\n' "$words" $((SECONDS - began))
  count_tests "$log"
}

PASSED=0
SKIPPED=0

# Adds up what the runners say of themselves: cargo test, node --test, vitest, unittest (which counts skipped ones as run).
# A test of cargo that cannot run here says `skipped: …` on a line of its own; cargo counts it as passed.
count_tests() {
  local plain skipped_of_run
  plain=$(sed 's/\x1b\[[0-9;]*m//g' "$1")
  # The last number of each match, added up.
  sum() { { grep -oE "$1" <<<"$plain" || true; } | { grep -oE '[0-9]+[^0-9]*$' || true; } | awk '{ n += $1 } END { print n + 0 }'; }
  skipped_of_run=$(($(sum '^OK \(.*skipped=[0-9]+') + $(grep -c '^skipped: ' <<<"$plain" || true)))
  PASSED=$((PASSED + $(sum '^test result: ok\. [0-9]+ passed') + $(sum '^(#|ℹ) pass [0-9]+') + $(sum '^ *Tests  [0-9]+ passed') + $(sum '^Ran [0-9]+ tests?') - skipped_of_run))
  SKIPPED=$((SKIPPED + $(sum '^test result: ok\. .* [0-9]+ ignored') + $(sum '^(#|ℹ) skipped [0-9]+') + $(sum '^ *Tests  .*[0-9]+ skipped') + skipped_of_run))
}

# The closing line of all tests; skipped ones are named only if there are any.
total() {
  local skipped=
  [ "$SKIPPED" = 0 ] || skipped="$SKIPPED skipped, "
  printf 'tests: %d passed, %s0 failed\n' "$PASSED" "$skipped"
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# apt_for COMMAND PACKAGE…: installs the packages if the command is missing.
apt_for() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return
  echo "installing $* with apt (for $command)"
  as_root apt-get update
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

needs() {
  command -v "$1" >/dev/null && return
  printf '%s is not there.\n  cause: %s\n  remedy: %s\n' "$1" "$2" "$3"
  exit 1
}

# not_older WHAT HAVE WANT REMEDY: compares versions.
not_older() {
  [ "$(printf '%s\n' "$3" "$2" | sort -V | head -n 1)" = "$3" ] && return
  printf '%s is too old.\n  cause: this is %s, Convoke needs %s or newer\n  remedy: %s\n' "$1" "${2:-of no known version}" "$3" "$4"
  exit 1
}

needs_rust() {
  local remedy="install Rust 1.95 or newer by rustup (https://rustup.rs), then open a new shell"
  needs cargo "Convoke is built with Rust" "$remedy"
  not_older cargo "$(cargo --version | cut -d ' ' -f 2)" 1.95 "$remedy"
}

needs_node() {
  local remedy="install Node.js 20.19 or newer with npm (https://nodejs.org)"
  needs npm "the web terminal is built with Node" "$remedy"
  not_older node "$(node --version | tr -d v)" 20.19 "$remedy"
}

needs_python() {
  local remedy="install Python 3.9 or newer"
  needs python3 "one foreign MQTT client is Eclipse Paho for Python" "$remedy"
  not_older python3 "$(python3 --version | cut -d ' ' -f 2)" 3.9 "$remedy"
}

DENY_VERSION=0.20.2
DENY=build/tools/cargo-deny-$DENY_VERSION

# Built without optimization: it runs for seconds.
install_deny() {
  [ -x "$DENY/bin/cargo-deny" ] || cargo install cargo-deny --version "$DENY_VERSION" --locked --debug --no-default-features --root "$DENY"
}

deny() { "$DENY/bin/cargo-deny" "$@"; }

needs_cc() { apt_for cc gcc libc6-dev make; }

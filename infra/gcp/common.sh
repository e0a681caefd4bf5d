# What deploy.sh and destroy.sh share. Sourced by them, never run.
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=
region=europe-west1
scheduler_region=
name=dastra-webhooks
dry_run=false

# Commands are told here, also where the answer of one is taken with $(...).
exec 3>&1
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# Progress goes to standard error, so that the commands of a dry run can be piped on.
step() { printf '\n== %s\n' "$*" >&2; }
say() { printf '%s\n' "$*" >&2; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 2
}

# Says a command as it can be pasted, and runs it unless this is a dry run.
run() {
  {
    printf '%s' "$1"
    printf ' %q' "${@:2}"
    printf '\n'
  } >&3
  "$dry_run" || "$@"
}

# How often a command is tried, and for how long it rests between two tries.
patience=1
rest_seconds=30
# Google's words where it would say the same next time: a policy of the organisation, a right that whoever deploys lacks,
# no billing, something that is there already, a program that does not start.
final='permitted customer|rganization policy|constraints/|IAM_PERMISSION_DENIED|BILLING_DISABLED|illing must be enabled|requires billing|already exists|ALREADY_EXISTS|ealth ?check failed|failed to start and'

# What was made seconds ago may not be known everywhere yet: a service that was just enabled is refused as disabled, a new
# account does not exist, a role takes minutes to reach the builder, Cloud Monitoring says 404 of a new metric.
patiently() {
  local attempt
  for ((attempt = 1; ; attempt++)); do
    if { "$@" 2>&1 >&4 | tee "$scratch/said" >&2; } 4>&1; then return; fi
    if grep -Eq "$final" "$scratch/said"; then
      say "That is Google's last word, so it is not tried again."
      return 1
    fi
    ((attempt < patience)) || return 1
    say "That was attempt $attempt of $patience. Google may not know everywhere yet what was just made: again in $rest_seconds seconds; Ctrl+C ends it."
    sleep "$rest_seconds"
  done
}

# gcloud, never asking back.
cloud() { patiently run gcloud "$@" "--project=$project" --quiet; }

# In a dry run a look-up is only shown, as a comment.
show_look_up() {
  {
    printf '# gcloud'
    printf ' %q' "$@" "--project=$project" --quiet
    printf '\n'
  } >&2
}

# What a look-up answers; in a dry run the first argument stands for the answer.
look_up() {
  local stand_in=$1
  shift
  if "$dry_run"; then show_look_up "$@" && printf '%s' "$stand_in"; else patiently gcloud "$@" "--project=$project" --quiet; fi
}

# What is ours in a list of Cloud Monitoring: what follows the columns that were asked for, where they are as wanted. The
# list comes whole and is compared here, since gcloud filters it after --limit has cut it, and its = will match more one
# day: another deployment whose name begins with this one's.
ours() { # ours STAND-IN COLUMNS WANTED COMMAND...
  local stand_in=$1 columns=$2 wanted=$3
  shift 3
  set -- "$@" list "--format=value($columns,name)"
  if "$dry_run"; then look_up "$stand_in" "$@" && return; fi
  look_up "" "$@" | awk -v "wanted=$wanted"$'\t' 'index($0, wanted) == 1 { print substr($0, length(wanted) + 1) }'
}

# Whether something is there already. A dry run takes it that nothing is, and shows the first deployment.
exists() {
  if "$dry_run"; then show_look_up "$@" && return 1; fi
  gcloud "$@" "--project=$project" --quiet >/dev/null 2>&1
}

# `--option=value` and `--option value` are the same. Sets `option`, `value`, and how many words it took.
split_option() {
  if [[ $1 == --*=* ]]; then
    option=${1%%=*} value=${1#*=} took=1
  else
    option=$1 value=${2-} took=2
  fi
}

check_names() {
  [[ -n $project ]] || fail "--project is required; --help lists the options"
  [[ $project =~ ^[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] || fail "--project is '$project': not a project's id"
  [[ $region =~ ^[a-z]+-[a-z]+[0-9]+$ ]] || fail "--region is '$region': a region looks like europe-west1"
  [[ $name =~ ^[a-z][a-z0-9-]{2,19}[a-z0-9]$ ]] || fail "--name is '$name': 4 to 21 lower-case letters, digits and hyphens, a letter first"
  command -v gcloud >/dev/null || fail "gcloud is not on PATH; https://cloud.google.com/sdk/docs/install"
  receive=$name-receive redrive=$name-redrive job=$name-redrive watch=$name-watch
  topic=$name-events subscription=$name-events
  dead_letter_topic=$name-dead-letters dead_letter_subscription=$name-dead-letters
  store=$project-$name-store secret=$name-keys api_key=$name-api-key images=$name-images
  scheduler_region=${scheduler_region:-$region}
}

account() { printf '%s-%s@%s.iam.gserviceaccount.com' "$name" "$1" "$project"; }

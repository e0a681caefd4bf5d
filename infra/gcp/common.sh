# What deploy.sh and destroy.sh share. Sourced by them, never run.
# shellcheck shell=bash disable=SC2034

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
project=
region=europe-west1
scheduler_region=
name=dastra-webhooks
dry_run=false

# Progress goes to standard error, so that the commands of a dry run can be piped on.
step() { printf '\n== %s\n' "$*" >&2; }
say() { printf '%s\n' "$*" >&2; }
fail() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 2
}

# Says a command as it can be pasted, and runs it unless this is a dry run.
run() {
  printf '%s' "$1"
  printf ' %q' "${@:2}"
  printf '\n'
  "$dry_run" || "$@"
}

# gcloud, never asking back.
cloud() { run gcloud "$@" "--project=$project" --quiet; }

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
  if "$dry_run"; then show_look_up "$@" && printf '%s' "$stand_in"; else gcloud "$@" "--project=$project" --quiet; fi
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

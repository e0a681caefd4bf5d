#!/usr/bin/env bash
# Removes what deploy.sh made. What Terraform made, `terraform destroy` removes.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'TEXT'
Usage: infra/gcp/destroy.sh --project ID [options]

  --project ID               the project's id
  --region REGION            europe-west1
  --scheduler-region REGION  the region
  --name NAME                dastra-webhooks
  --with-stored-events       also when something is still in the store; it is deleted with it
  --yes                      do not ask
  --dry-run                  print every command, run none
TEXT
}

with_stored_events=false yes=false
while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --dry-run) dry_run=true && shift && continue ;;
    --yes) yes=true && shift && continue ;;
    --with-stored-events) with_stored_events=true && shift && continue ;;
  esac
  split_option "$@"
  case $option in
    --project) project=$value ;;
    --region) region=$value ;;
    --scheduler-region) scheduler_region=$value ;;
    --name) name=$value ;;
    *) fail "$option is not an option; --help lists them" ;;
  esac
  [[ -n $value ]] || fail "$option needs a value"
  shift "$took"
done
check_names

# As `exists`, but in a dry run everything is taken to be there.
there() { exists "$@" || "$dry_run"; }
remove() { # remove LOOK-UP... -- COMMAND...
  local look=()
  while [[ $1 != -- ]]; do look+=("$1") && shift; done
  shift
  if there "${look[@]}"; then cloud "$@"; fi
}

if ! "$dry_run"; then
  if ! "$with_stored_events"; then
    for prefix in spool quarantine claims addresses rotations; do
      held=$(gcloud storage ls "gs://$store/$prefix/**" "--project=$project" 2>/dev/null | head -n 1 || true)
      [[ -n $held ]] || continue
      case $prefix in
        addresses) what="addresses that you accepted" ;;
        rotations) what="notes on keys whose replacement is under way" ;;
        *) what="events" ;;
      esac
      fail "$what are still stored below gs://$store/$prefix/. Release or drop events first; to delete all of it, say --with-stored-events."
    done
  fi
  if ! "$yes"; then
    say "This deletes $name in the project $project: the webhook, the queue with every unread event, the store, the keys."
    read -r -p "Type its name to go on: " answer
    [[ $answer == "$name" ]] || fail "nothing was deleted"
  fi
fi

step "Alarms first, since they would tell of the rest"
# More than one of each where deployments made it twice.
stand_ins=
for path in "$here"/alarms/*.json; do stand_ins+="POLICY-$(basename "$path" .json) "; done
found=$(ours "$stand_ins" userLabels.app "$name" alpha monitoring policies)
for each in $found; do cloud alpha monitoring policies delete "$each"; done
# An alarm that somebody else made may use it too: --force takes it out of there.
found=$(ours CHANNEL userLabels.app "$name" beta monitoring channels)
for each in $found; do cloud beta monitoring channels delete "$each" --force; done
found=$(ours DASHBOARD displayName "$name" monitoring dashboards)
for each in $found; do cloud monitoring dashboards delete "$each"; done
for path in "$here"/metrics/*.json; do
  metric=$name-$(basename "$path" .json)
  remove logging metrics describe "$metric" -- logging metrics delete "$metric"
done

step "Functions"
for each in "$job" "$watch"; do
  remove scheduler jobs describe "$each" "--location=$scheduler_region" -- scheduler jobs delete "$each" "--location=$scheduler_region"
done
for function in "$receive" "$redrive" "$watch"; do
  remove functions describe "$function" --gen2 "--region=$region" -- functions delete "$function" --gen2 "--region=$region"
done
remove artifacts repositories describe "$images" "--location=$region" -- artifacts repositories delete "$images" "--location=$region"

step "Queue, store and keys"
for id in "$subscription" "$dead_letter_subscription"; do
  remove pubsub subscriptions describe "$id" -- pubsub subscriptions delete "$id"
done
for id in "$topic" "$dead_letter_topic"; do
  remove pubsub topics describe "$id" -- pubsub topics delete "$id"
done
remove storage buckets describe "gs://$store" -- storage rm "gs://$store" --recursive
for each in "$secret" "$api_key"; do
  remove secrets describe "$each" -- secrets delete "$each"
done

step "Roles and accounts"
number=$(look_up PROJECT_NUMBER projects describe "$project" --format='value(projectNumber)')
builder=serviceAccount:$(account build)
if there iam service-accounts describe "$(account build)"; then
  cloud projects remove-iam-policy-binding "$project" "--member=$builder" --role=roles/logging.logWriter --condition=None
  cloud projects remove-iam-policy-binding "$project" "--member=$builder" --role=roles/storage.objectViewer \
    "--condition=title=source_only,expression=resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-$number-\")"
fi
for who in receive redrive schedule build watch; do
  remove iam service-accounts describe "$(account "$who")" -- iam service-accounts delete "$(account "$who")"
done
say "Done. The services stay enabled; Google's own buckets (gcf-v2-sources-...) stay too."

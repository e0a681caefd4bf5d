#!/usr/bin/env bash
# Deploys the receiver with gcloud alone: the same parts as the Terraform files beside this one, from the same
# definitions of metrics, alarms, dashboard and lifecycle. May be run again: what is there is brought up to date.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "${BASH_SOURCE[0]}")/common.sh"

usage() {
  cat <<'TEXT'
Usage: infra/gcp/deploy.sh --project ID --alarm-email ADDRESS [options]

  --project ID                 the project's id
  --alarm-email ADDRESS        where every alarm goes
  --notification-channel NAME  a further channel (projects/P/notificationChannels/N); may be repeated
  --region REGION              europe-west1
  --scheduler-region REGION    the region; not every region has Cloud Scheduler
  --name NAME                  dastra-webhooks; two deployments in one project need two names
  --bucket-location PLACE      EU
  --message-regions LIST       regions in which Pub/Sub may keep messages, with commas; every one inside the EU
  --secret-locations LIST      europe-west1,europe-west4
  --public-access WHO          all-users, or for organisations that forbid it: no-iam-check, none
  --ingress WHAT               all, or internal-and-gclb behind a load balancer of yours
  --trusted-proxy-hops N       1; 2 behind Google's external load balancer
  --source-ip-mode MODE        quarantine; off, observe, reject
  --source-ip-allowlist LIST   dastra-2023-01-05
  --max-body-bytes N           4194304
  --max-event-age-seconds N    0, which is off
  --time-budget-seconds N      6
  --queue-budget-seconds N     2.5
  --max-instances N            10
  --min-instances N            0
  --ack-deadline-seconds N     60
  --max-delivery-attempts N    10
  --soft-delete-days N         0
  --silence-hours N            0, which is off; at most 23
  --webhook-check on|off       off; on asks Dastra's API every 15 minutes about errors, and alarms
  --webhook-ids LIST           webhooks to ask about, with commas; every one that the API key sees
  --workspace-id N             the workspace to ask about; every one that the API key sees
  --api-url URL                https://api.dastra.eu
  --source DIR                 build/gcp, which `make build-gcp` fills
  --dry-run                    print every command, run none
  --work-dir DIR               where the filled-in definitions are written; else a directory that is removed again
TEXT
}

alarm_email='' channels=() bucket_location=EU secret_locations=europe-west1,europe-west4
message_regions=europe-west1,europe-west3,europe-west4,europe-west8,europe-west9,europe-west10,europe-west12,europe-north1,europe-north2,europe-central2,europe-southwest1
public_access=all-users ingress=all trusted_proxy_hops=1 source_ip_mode=quarantine source_ip_allowlist=dastra-2023-01-05
max_body_bytes=4194304 max_event_age_seconds=0 time_budget_seconds=6 queue_budget_seconds=2.5
max_instances=10 min_instances=0 ack_deadline_seconds=60 max_delivery_attempts=10 soft_delete_days=0 silence_hours=0
webhook_check=off webhook_ids='' workspace_id='' api_url=https://api.dastra.eu
source=$here/../../build/gcp work_dir=

while (($#)); do
  case $1 in
    -h | --help) usage && exit 0 ;;
    --dry-run) dry_run=true && shift && continue ;;
  esac
  split_option "$@"
  case $option in
    --notification-channel) channels+=("$value") ;;
    --project | --alarm-email | --region | --scheduler-region | --name | --bucket-location | --message-regions | \
      --secret-locations | --public-access | --ingress | --trusted-proxy-hops | --source-ip-mode | \
      --source-ip-allowlist | --max-body-bytes | --max-event-age-seconds | --time-budget-seconds | \
      --queue-budget-seconds | --max-instances | --min-instances | --ack-deadline-seconds | \
      --max-delivery-attempts | --soft-delete-days | --silence-hours | --webhook-check | --webhook-ids | \
      --workspace-id | --api-url | --source | --work-dir)
      variable=${option#--}
      printf -v "${variable//-/_}" '%s' "$value"
      ;;
    *) fail "$option is not an option; --help lists them" ;;
  esac
  [[ -n $value ]] || fail "$option needs a value"
  shift "$took"
done

check_names
[[ $alarm_email =~ ^[^@[:space:]\"\\]+@[^@[:space:]\"\\]+\.[^@[:space:]\"\\]+$ ]] || fail "--alarm-email is required: an address that somebody reads"
[[ $public_access =~ ^(all-users|no-iam-check|none)$ ]] || fail "--public-access is '$public_access'; valid: all-users, no-iam-check, none"
[[ $ingress =~ ^(all|internal-and-gclb)$ ]] || fail "--ingress is '$ingress'; valid: all, internal-and-gclb"
[[ $silence_hours =~ ^([0-9]|1[0-9]|2[0-3])$ ]] || fail "--silence-hours is '$silence_hours'; valid: 0 to 23"
[[ $webhook_check =~ ^(on|off)$ ]] || fail "--webhook-check is '$webhook_check'; valid: on, off"
[[ $webhook_ids =~ ^[A-Za-z0-9_,-]*$ ]] || fail "--webhook-ids is '$webhook_ids'; valid: numbers of webhooks, with commas"
[[ $workspace_id =~ ^([1-9][0-9]{0,9})?$ ]] || fail "--workspace-id is '$workspace_id'; valid: a workspace's number"
[[ $api_url =~ ^https://[^[:space:]?#@|]+$ ]] || fail "--api-url is '$api_url'; valid: an address with https"
[[ ,$message_regions, == *,$region,* ]] || fail "--message-regions must contain the region $region"
# Who calls the function directly would otherwise choose the address that is looked at.
[[ $trusted_proxy_hops == 1 || $ingress == internal-and-gclb ]] || fail "--trusted-proxy-hops above 1 needs --ingress internal-and-gclb"
"$dry_run" || [[ -f $source/main.py ]] || fail "$source/main.py is missing; run: make build-gcp"

work_dir=${work_dir:-$scratch/definitions}
mkdir -p "$work_dir"

# Fills in a definition. The names are those of `local.names` in alarms.tf; `$${` is what Terraform writes for `${`.
fill_in() {
  local target=$work_dir/$1
  mkdir -p "$(dirname "$target")"
  sed -e "s/\${project}/$project/g" -e "s/\${name}/$name/g" -e "s/\${receive}/$receive/g" -e "s/\${redrive}/$redrive/g" \
    -e "s/\${job}/$job/g" -e "s/\${watch}/$watch/g" -e "s/\${topic}/$topic/g" -e "s/\${subscription}/$subscription/g" \
    -e "s/\${dead_letter_topic}/$dead_letter_topic/g" -e "s/\${dead_letter_subscription}/$dead_letter_subscription/g" \
    -e "s/\${silence}/$((silence_hours * 3600))s/g" -e "s/\\\$\${/\${/g" "$here/$1" >"$target"
  filled=$target
}

patience=6

step "Services"
cloud services enable artifactregistry.googleapis.com cloudbuild.googleapis.com cloudfunctions.googleapis.com \
  cloudscheduler.googleapis.com iam.googleapis.com logging.googleapis.com monitoring.googleapis.com \
  pubsub.googleapis.com run.googleapis.com secretmanager.googleapis.com storage.googleapis.com
number=$(look_up PROJECT_NUMBER projects describe "$project" --format='value(projectNumber)')

step "Service accounts"
service_account() {
  exists iam service-accounts describe "$(account "$1")" ||
    cloud iam service-accounts create "$name-$1" "--display-name=$name: $2"
}
service_account receive "Runs the webhook"
service_account redrive "Runs the redrive"
service_account schedule "Calls the redrive"
service_account build "Builds the functions' images"
[[ $webhook_check == off ]] || service_account watch "Runs the check of the webhooks"

step "Queue: topics and subscriptions, before anything can publish"
make_topic() {
  local verb=create
  exists pubsub topics describe "$1" && verb=update
  cloud pubsub topics "$verb" "$1" "--message-retention-duration=$2" \
    "--message-storage-policy-allowed-regions=$message_regions"
}
make_subscription() {
  local id=$1 on=$2 retention=$3
  shift 3
  # What it listens to cannot be changed later.
  local what=(update "$id")
  exists pubsub subscriptions describe "$id" || what=(create "$id" "--topic=$on")
  cloud pubsub subscriptions "${what[@]}" "--ack-deadline=$ack_deadline_seconds" \
    "--message-retention-duration=$retention" --expiration-period=never "$@"
}
make_topic "$dead_letter_topic" 1209600s
make_subscription "$dead_letter_subscription" "$dead_letter_topic" 1209600s
make_topic "$topic" 345600s
make_subscription "$subscription" "$topic" 345600s --min-retry-delay=10s --max-retry-delay=600s \
  "--dead-letter-topic=$dead_letter_topic" "--max-delivery-attempts=$max_delivery_attempts"

step "Pub/Sub's own two roles, without which nothing reaches the dead letters"
cloud beta services identity create --service=pubsub.googleapis.com
agent=serviceAccount:service-$number@gcp-sa-pubsub.iam.gserviceaccount.com
cloud pubsub topics add-iam-policy-binding "$dead_letter_topic" "--member=$agent" --role=roles/pubsub.publisher
cloud pubsub subscriptions add-iam-policy-binding "$subscription" "--member=$agent" --role=roles/pubsub.subscriber

step "Store"
exists storage buckets describe "gs://$store" ||
  cloud storage buckets create "gs://$store" "--location=$bucket_location" --uniform-bucket-level-access \
    --public-access-prevention "--soft-delete-duration=${soft_delete_days}d"
cloud storage buckets update "gs://$store" --uniform-bucket-level-access --public-access-prevention \
  "--soft-delete-duration=${soft_delete_days}d" "--lifecycle-file=$here/lifecycle.json"

step "Secret, without a version: the key comes later"
exists secrets describe "$secret" ||
  cloud secrets create "$secret" --replication-policy=user-managed "--locations=$secret_locations" "--labels=app=$name"
[[ $webhook_check == off ]] || exists secrets describe "$api_key" ||
  cloud secrets create "$api_key" --replication-policy=user-managed "--locations=$secret_locations" "--labels=app=$name"

step "Roles"
may_publish() {
  cloud pubsub topics add-iam-policy-binding "$topic" "--member=serviceAccount:$(account "$1")" \
    --role=roles/pubsub.publisher
}
# A role on the bucket; with prefixes, on what begins so.
may_use_store() {
  local who=$1 title=$2 role=$3 condition=None prefix
  shift 3
  if (($#)); then
    condition=
    for prefix; do
      condition+="${condition:+ || }resource.name.startsWith(\"projects/_/buckets/$store/objects/$prefix\")"
    done
    condition="title=$title,expression=$condition"
  fi
  cloud storage buckets add-iam-policy-binding "gs://$store" "--member=serviceAccount:$(account "$who")" \
    "--role=$role" "--condition=$condition"
}
may_publish receive
may_publish redrive
cloud secrets add-iam-policy-binding "$secret" "--member=serviceAccount:$(account receive)" \
  --role=roles/secretmanager.secretAccessor
[[ $webhook_check == off ]] ||
  cloud secrets add-iam-policy-binding "$api_key" "--member=serviceAccount:$(account watch)" \
    --role=roles/secretmanager.secretAccessor
may_use_store receive receive_lists roles/storage.legacyBucketReader
may_use_store receive receive_claims roles/storage.objectUser claims/
may_use_store receive receive_keeps roles/storage.objectCreator spool/ quarantine/
may_use_store redrive redrive_lists roles/storage.legacyBucketReader
may_use_store redrive redrive_works roles/storage.objectUser claims/ spool/ quarantine/ leases/

step "Builder and its images"
exists artifacts repositories describe "$images" "--location=$region" ||
  cloud artifacts repositories create "$images" "--location=$region" --repository-format=docker "--labels=app=$name"
cloud artifacts repositories set-cleanup-policies "$images" "--location=$region" "--policy=$here/cleanup.json" --no-dry-run
builder=serviceAccount:$(account build)
cloud artifacts repositories add-iam-policy-binding "$images" "--location=$region" "--member=$builder" \
  --role=roles/artifactregistry.writer
cloud projects add-iam-policy-binding "$project" "--member=$builder" --role=roles/logging.logWriter --condition=None
cloud projects add-iam-policy-binding "$project" "--member=$builder" --role=roles/storage.objectViewer \
  "--condition=title=source_only,expression=resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-$number-\")"

step "Functions"
environment="DASTRA_QUEUE=projects/$project/topics/$topic"
environment+="|DASTRA_STORE=$store"
environment+="|DASTRA_SIGNATURE_KEYS_SECRET=projects/$project/secrets/$secret"
environment+="|DASTRA_SOURCE_IP_MODE=$source_ip_mode"
environment+="|DASTRA_SOURCE_IP_ALLOWLIST=$source_ip_allowlist"
environment+="|DASTRA_TRUSTED_PROXY_HOPS=$trusted_proxy_hops"
environment+="|DASTRA_MAX_BODY_BYTES=$max_body_bytes"
environment+="|DASTRA_MAX_EVENT_AGE_SECONDS=$max_event_age_seconds"
environment+="|DASTRA_TIME_BUDGET_SECONDS=$time_budget_seconds"
environment+="|DASTRA_QUEUE_BUDGET_SECONDS=$queue_budget_seconds"
environment+="|GOOGLE_CLOUD_PROJECT=$project|WORKERS=1|LOG_EXECUTION_ID=false|MALLOC_ARENA_MAX=2|MALLOC_MMAP_THRESHOLD_=262144"
deploy_function() {
  local function=$1 entry_point=$2 threads=$3
  shift 3
  say "Google builds $function and starts it: some minutes."
  cloud functions deploy "$function" --gen2 "--region=$region" --runtime=python313 "--source=$source" \
    "--entry-point=$entry_point" --trigger-http "--run-service-account=$(account "$entry_point")" \
    "--build-service-account=projects/$project/serviceAccounts/$(account build)" \
    "--docker-repository=projects/$project/locations/$region/repositories/$images" --memory=512Mi --cpu=1 \
    "--concurrency=$threads" --serve-all-traffic-latest-revision "--update-labels=app=$name" \
    "--set-env-vars=^|^$environment|THREADS=$threads" "$@"
}
# Without a word about callers gcloud leaves them as they are, and a new function has none. Taking allUsers away and giving
# it back would answer Dastra 403 in between; and apart from the build a refusal of the role is not tried with it again.
callers=--no-allow-unauthenticated
[[ $public_access == all-users ]] && callers=
deploy_function "$receive" receive 16 ${callers:+"$callers"} "--ingress-settings=$ingress" \
  "--max-instances=$max_instances" "--min-instances=$min_instances" --timeout=30s
case $public_access in
  all-users)
    cloud run services add-iam-policy-binding "$receive" "--region=$region" --member=allUsers --role=roles/run.invoker ||
      fail "nobody may call the webhook: the role for allUsers was refused, in the words above. Where an organisation" \
        "forbids it, run this again with --public-access no-iam-check; what that needs stands in docs/deploy-gcp.md," \
        "\"Organisations that forbid allUsers\"."
    ;;
  no-iam-check) cloud run services update "$receive" "--region=$region" --no-invoker-iam-check ;;
esac
deploy_function "$redrive" redrive 1 --no-allow-unauthenticated --ingress-settings=internal-only --max-instances=1 \
  --min-instances=0 --timeout=120s
if [[ $webhook_check == on ]]; then
  environment+="|DASTRA_API_KEY_SECRET=projects/$project/secrets/$api_key"
  environment+="|DASTRA_API_URL=$api_url"
  environment+="|DASTRA_WEBHOOK_IDS=$webhook_ids"
  environment+="|DASTRA_WORKSPACE_ID=$workspace_id"
  deploy_function "$watch" watch 1 --no-allow-unauthenticated --ingress-settings=internal-only --max-instances=1 \
    --min-instances=0 --timeout=60s
fi

step "Schedule"
# Calls a function of the same name as the job.
schedule_function() {
  local function=$1 schedule=$2 deadline=$3 url verb=create
  cloud run services add-iam-policy-binding "$function" "--region=$region" \
    "--member=serviceAccount:$(account schedule)" --role=roles/run.invoker
  url=$(look_up "https://$function-HASH.a.run.app" functions describe "$function" --gen2 "--region=$region" --format='value(serviceConfig.uri)')
  exists scheduler jobs describe "$function" "--location=$scheduler_region" && verb=update
  cloud scheduler jobs "$verb" http "$function" "--location=$scheduler_region" "--schedule=$schedule" \
    --time-zone=Etc/UTC "--uri=$url" --http-method=POST "--oidc-service-account-email=$(account schedule)" \
    "--oidc-token-audience=$url" "--attempt-deadline=$deadline" --max-retry-attempts=0
}
schedule_function "$job" "*/5 * * * *" 180s
# Without a word the schedule goes, and with it all that the check costs; the rest of it goes with destroy.sh.
if [[ $webhook_check == on ]]; then
  schedule_function "$watch" "*/15 * * * *" 90s
elif exists scheduler jobs describe "$watch" "--location=$scheduler_region"; then
  cloud scheduler jobs delete "$watch" "--location=$scheduler_region"
fi

# Whether a definition is wanted: some are on request alone.
wanted() {
  case $1 in
    silence) [[ $silence_hours != 0 ]] ;;
    webhook_*) [[ $webhook_check == on ]] ;;
  esac
}

step "Metrics"
for path in "$here"/metrics/*.json; do
  metric=$(basename "$path" .json)
  wanted "$metric" || continue
  fill_in "metrics/$metric.json"
  verb=create
  exists logging metrics describe "$name-$metric" && verb=update
  cloud logging metrics "$verb" "$name-$metric" "--config-from-file=$filled"
done

step "Alarms, to $alarm_email"
channel=$(ours "" "userLabels.app,type,labels.email_address" "$name"$'\t'email$'\t'"$alarm_email" beta monitoring channels)
channel=${channel%%$'\n'*}
if [[ -z $channel ]]; then
  channel=$(cloud beta monitoring channels create "--display-name=$name alarms" --type=email \
    "--channel-labels=email_address=$alarm_email" "--user-labels=app=$name" --format='value(name)')
  if "$dry_run"; then channel=projects/$project/notificationChannels/NUMBER; fi
fi
told=\"$channel\"
for each in ${channels[@]+"${channels[@]}"}; do told+=", \"$each\""; done
# A line for each alarm that is there: which it is, and its name.
policies=$(ours "" "userLabels.app,userLabels.alarm" "$name" alpha monitoring policies)
named() { awk -v alarm="$1" '$1 == alarm { print $2 }' <<<"$policies"; }
patience=10
for path in "$here"/alarms/*.json; do
  alarm=$(basename "$path" .json)
  policy=
  for each in $(named "$alarm"); do
    if wanted "$alarm" && [[ -z $policy ]]; then
      policy=$each
    else
      cloud alpha monitoring policies delete "$each"
    fi
  done
  wanted "$alarm" || continue
  fill_in "alarms/$alarm.json"
  sed -e "1s|^{|{\"notificationChannels\": [$told],|" "$filled" >"$filled.told" && mv "$filled.told" "$filled"
  if [[ -n $policy ]]; then
    cloud alpha monitoring policies update "$policy" "--policy-from-file=$filled"
  else
    cloud alpha monitoring policies create "--policy-from-file=$filled"
  fi
done

step "Dashboard"
old=$(ours "" displayName "$name" monitoring dashboards)
fill_in dashboard.json
if [[ $webhook_check == on ]]; then
  # The tiles of the check go before the others: the lines between the brackets, and a comma.
  whole=$filled
  fill_in dashboard-check.json
  sed -e 1d -e '$s/]/,/' "$filled" >"$filled.tiles" && rm "$filled"
  sed -e "/\"tiles\": \[/r $filled.tiles" "$whole" >"$whole.all" && mv "$whole.all" "$whole"
  filled=$whole
fi
cloud monitoring dashboards create "--config-from-file=$filled"
for each in $old; do cloud monitoring dashboards delete "$each"; done

url=$(look_up "https://$receive-HASH.a.run.app" functions describe "$receive" --gen2 "--region=$region" --format='value(serviceConfig.uri)')
step "Done. The webhook's address: $url"
if [[ $public_access == none ]]; then
  say "Nobody may call it yet. docs/deploy-gcp.md, \"Organisations that forbid allUsers\", says how Dastra gets in."
fi
say "Next, create the webhook in Dastra, with its key in the secret (without a key of Dastra's API: by hand, then dastra-webhooks key set):"
say "  export DASTRA_CLOUD=gcp DASTRA_STACK=projects/$project/locations/$region/services/$receive"
say "  dastra-webhooks register --workspace ID --all"
say "Then have Dastra send a test, and accept the address it called from: dastra-webhooks test TaskCreation; dastra-webhooks addresses list"
if [[ $webhook_check == on ]]; then
  say "Give a key of Dastra's API to the check of the webhooks; it is read from standard input:"
  say "  gcloud secrets versions add $api_key --project=$project --data-file=-"
fi

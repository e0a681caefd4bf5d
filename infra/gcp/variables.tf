# Where, and under which name

variable "project" {
  description = "The project's id (not its number)."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lower-case letters, digits and hyphens, and starts with a letter."
  }
}

variable "region" {
  description = "Where the functions run. Events carry personal data, so the default is in the EU."
  type        = string
  default     = "europe-west1"

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west1."
  }
}

variable "name" {
  description = "What every resource's name begins with. Two deployments in one project need two names."
  type        = string
  default     = "dastra-webhooks"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}[a-z0-9]$", var.name))
    error_message = "4 to 21 lower-case letters, digits and hyphens, a letter first: service accounts allow 30 in all."
  }
}

variable "bucket_location" {
  description = "Where the store is: EU (several regions, the default) or one region."
  type        = string
  default     = "EU"
}

variable "message_regions" {
  description = "Regions in which Pub/Sub may keep messages. By default every region inside the EU; must contain the function's own."
  type        = list(string)
  default = [
    "europe-west1", "europe-west3", "europe-west4", "europe-west8", "europe-west9", "europe-west10", "europe-west12",
    "europe-north1", "europe-north2", "europe-central2", "europe-southwest1",
  ]

  validation {
    condition     = contains(var.message_regions, var.region)
    error_message = "message_regions must contain region, else what the function publishes is carried elsewhere first."
  }
}

variable "secret_locations" {
  description = "Regions that hold a copy of the signature keys."
  type        = list(string)
  default     = ["europe-west1", "europe-west4"]

  validation {
    condition     = length(var.secret_locations) > 0
    error_message = "At least one region."
  }
}

variable "scheduler_region" {
  description = "Where Cloud Scheduler runs the redrive; null: the functions' region. Not every region has Cloud Scheduler."
  type        = string
  default     = null
}

# Who is told

variable "alarm_email" {
  description = "The address that every alarm goes to."
  type        = string

  validation {
    condition     = can(regex("^[^@[:space:]]+@[^@[:space:]]+\\.[^@[:space:]]+$", var.alarm_email))
    error_message = "An e-mail address, such as privacy-oncall@example.com."
  }
}

variable "notification_channels" {
  description = "Further channels of Cloud Monitoring, by full name (projects/P/notificationChannels/N): chat, paging."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for channel in var.notification_channels : can(regex("^projects/[^/]+/notificationChannels/[0-9]+$", channel))])
    error_message = "Each is a full name: projects/PROJECT/notificationChannels/NUMBER."
  }
}

variable "silence_hours" {
  description = "Alarm when no genuine event came for so many hours; 0: off. A blocked webhook is silent. At most 23, since Cloud Monitoring looks back no further."
  type        = number
  default     = 0

  validation {
    condition     = floor(var.silence_hours) == var.silence_hours && var.silence_hours >= 0 && var.silence_hours <= 23
    error_message = "A whole number from 0 to 23."
  }
}

# What Dastra itself says of the webhooks

variable "webhook_check" {
  description = "Whether Dastra's API is asked every 15 minutes how many errors the webhooks had and whether one is blocked, with alarms for both. Needs a key of the API: put it into the secret that the output api_key_secret names."
  type        = bool
  default     = false
}

variable "webhook_ids" {
  description = "Numbers of the webhooks to ask about; empty: every one that the API key sees."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for id in var.webhook_ids : can(regex("^[A-Za-z0-9_-]{1,64}$", id))])
    error_message = "Each is a webhook's number."
  }
}

variable "workspace_id" {
  description = "Asks about the webhooks of one workspace; 0: of all that the API key sees."
  type        = number
  default     = 0

  validation {
    condition     = floor(var.workspace_id) == var.workspace_id && var.workspace_id >= 0 && var.workspace_id <= 2147483647
    error_message = "A whole number from 0 to 2147483647."
  }
}

variable "api_url" {
  description = "Where Dastra's API is. The API key is sent there."
  type        = string
  default     = "https://api.dastra.eu"

  validation {
    condition     = can(regex("^https://[^[:space:]?#@|]+$", var.api_url))
    error_message = "An address with https, such as https://api.dastra.eu."
  }
}

# Who may call

variable "public_access" {
  description = "all-users: anybody may call the webhook, and the signature decides. none: for organisations that forbid allUsers; docs/deploy-gcp.md says how Dastra gets in then."
  type        = string
  default     = "all-users"

  validation {
    condition     = contains(["all-users", "none"], var.public_access)
    error_message = "Valid: all-users, none."
  }
}

variable "ingress" {
  description = "ALLOW_ALL: the function's own address. ALLOW_INTERNAL_AND_GCLB: only through an external load balancer of yours; then trusted_proxy_hops is 2."
  type        = string
  default     = "ALLOW_ALL"

  validation {
    condition     = contains(["ALLOW_ALL", "ALLOW_INTERNAL_AND_GCLB"], var.ingress)
    error_message = "Valid: ALLOW_ALL, ALLOW_INTERNAL_AND_GCLB."
  }
}

variable "trusted_proxy_hops" {
  description = "Which element of X-Forwarded-For is the caller, from the end: 1 for the function's own address, 2 behind Google's external load balancer."
  type        = number
  default     = 1

  validation {
    condition     = floor(var.trusted_proxy_hops) == var.trusted_proxy_hops && var.trusted_proxy_hops >= 1 && var.trusted_proxy_hops <= 10
    error_message = "A whole number from 1 to 10."
  }
  validation {
    # Who calls the function directly would otherwise choose the address that is looked at.
    condition     = var.trusted_proxy_hops == 1 || var.ingress == "ALLOW_INTERNAL_AND_GCLB"
    error_message = "More than 1 needs ingress = ALLOW_INTERNAL_AND_GCLB: else a caller who goes around the load balancer writes the address himself."
  }
}

# How the receiver decides; the same settings on every cloud

variable "source_ip_mode" {
  description = "A genuine event from an address off the list: off (no check), observe (forward and mark), quarantine (hold for a person), reject (403, held all the same)."
  type        = string
  default     = "quarantine"

  validation {
    condition     = contains(["off", "observe", "quarantine", "reject"], var.source_ip_mode)
    error_message = "Valid: off, observe, quarantine, reject."
  }
}

variable "source_ip_allowlist" {
  description = "Addresses and networks that Dastra calls from. The default names the list that Dastra published on that day and has since withdrawn; [\"none\"] is nobody, until you accept somebody."
  type        = list(string)
  default     = ["dastra-2023-01-05"]
}

variable "max_body_bytes" {
  description = "The largest body that is taken; at most 4 MiB."
  type        = number
  default     = 4194304

  validation {
    condition     = floor(var.max_body_bytes) == var.max_body_bytes && var.max_body_bytes >= 1 && var.max_body_bytes <= 4194304
    error_message = "A whole number of bytes from 1 to 4194304."
  }
}

variable "max_event_age_seconds" {
  description = "An event whose date is older is held for a person; 0: off."
  type        = number
  default     = 0

  validation {
    condition     = var.max_event_age_seconds >= 0 && var.max_event_age_seconds <= 31536000
    error_message = "From 0 to 31536000 seconds."
  }
}

variable "time_budget_seconds" {
  description = "Within which a request is answered. Dastra hangs up after 10."
  type        = number
  default     = 6

  validation {
    condition     = var.time_budget_seconds >= 0.5 && var.time_budget_seconds <= 9
    error_message = "From 0.5 to 9 seconds."
  }
}

variable "queue_budget_seconds" {
  description = "The share of Pub/Sub, after which the event goes to the store; at most three quarters of time_budget_seconds."
  type        = number
  default     = 2.5

  validation {
    condition     = var.queue_budget_seconds >= 0.1 && var.queue_budget_seconds <= 0.75 * var.time_budget_seconds
    error_message = "At least 0.1, at most three quarters of time_budget_seconds: the store needs the rest when Pub/Sub fails."
  }
}

# How much

variable "max_instances" {
  description = "The most instances of the receiver, each with 16 requests at a time. Beyond them Google answers 429, which Dastra counts as an error."
  type        = number
  default     = 10

  validation {
    condition     = floor(var.max_instances) == var.max_instances && var.max_instances >= 1 && var.max_instances <= 100
    error_message = "A whole number from 1 to 100."
  }
}

variable "min_instances" {
  description = "Instances that are kept warm. 1 spares Dastra's 10 seconds every cold start, and costs an idle instance."
  type        = number
  default     = 0

  validation {
    condition     = floor(var.min_instances) == var.min_instances && var.min_instances >= 0 && var.min_instances <= var.max_instances
    error_message = "A whole number from 0 to max_instances."
  }
}

variable "ack_deadline_seconds" {
  description = "How long a consumer has for a message before it is delivered again."
  type        = number
  default     = 60

  validation {
    condition     = floor(var.ack_deadline_seconds) == var.ack_deadline_seconds && var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600
    error_message = "A whole number from 10 to 600."
  }
}

variable "max_delivery_attempts" {
  description = "After so many failed deliveries a message goes to the dead letters. With the back-off here, 10 is about 40 minutes."
  type        = number
  default     = 10

  validation {
    condition     = floor(var.max_delivery_attempts) == var.max_delivery_attempts && var.max_delivery_attempts >= 5 && var.max_delivery_attempts <= 100
    error_message = "A whole number from 5 to 100."
  }
}

# What is stored

variable "soft_delete_days" {
  description = "For how long Cloud Storage can bring back what was deleted; 0: not at all, so that personal data is gone when it is deleted. Else 7 to 90."
  type        = number
  default     = 0

  validation {
    condition     = floor(var.soft_delete_days) == var.soft_delete_days && (var.soft_delete_days == 0 || (var.soft_delete_days >= 7 && var.soft_delete_days <= 90))
    error_message = "0, or a whole number from 7 to 90."
  }
}

variable "delete_stored_data" {
  description = "Whether terraform destroy may delete the store with what is in it, and the secrets with the keys. It counts once it was applied: terraform apply -var delete_stored_data=true && terraform destroy -var delete_stored_data=true. Without it destroy stops before anything is gone."
  type        = bool
  default     = false
}

variable "source_dir" {
  description = "What is deployed: the directory that `make build-gcp` fills, relative to this one."
  type        = string
  default     = "../../build/gcp"
}

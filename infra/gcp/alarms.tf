# Metrics and alarms are in metrics/*.json and alarms/*.json, in the notation of Google's own APIs, because the gcloud
# path (deploy.sh) makes its own of the same files. A file's name is the metric's or the alarm's.

locals {
  names = {
    project                  = var.project
    name                     = var.name
    receive                  = "${var.name}-receive"
    redrive                  = "${var.name}-redrive"
    job                      = "${var.name}-redrive"
    watch                    = "${var.name}-watch"
    topic                    = "${var.name}-events"
    subscription             = "${var.name}-events"
    dead_letter_topic        = "${var.name}-dead-letters"
    dead_letter_subscription = "${var.name}-dead-letters"
    silence                  = "${var.silence_hours * 3600}s"
  }

  # What is there on request alone.
  left_out = concat(
    var.silence_hours > 0 ? [] : ["silence.json"],
    var.webhook_check ? [] : ["webhook_checks.json", "webhook_errors.json", "webhook_blocked.json", "webhook_check_failed.json"],
  )

  metrics = {
    for file in fileset(path.module, "metrics/*.json") :
    trimsuffix(basename(file), ".json") => jsondecode(templatefile("${path.module}/${file}", local.names))
    if !contains(local.left_out, basename(file))
  }
  alarms = {
    for file in fileset(path.module, "alarms/*.json") :
    trimsuffix(basename(file), ".json") => jsondecode(templatefile("${path.module}/${file}", local.names))
    if !contains(local.left_out, basename(file))
  }
}

resource "google_logging_metric" "this" {
  for_each = local.metrics

  name             = "${var.name}-${each.key}"
  description      = each.value.description
  filter           = each.value.filter
  value_extractor  = try(each.value.valueExtractor, null)
  label_extractors = try(each.value.labelExtractors, null)

  metric_descriptor {
    metric_kind = each.value.metricDescriptor.metricKind
    value_type  = each.value.metricDescriptor.valueType
    unit        = each.value.metricDescriptor.unit

    dynamic "labels" {
      for_each = try(each.value.metricDescriptor.labels, [])

      content {
        key        = labels.value.key
        value_type = labels.value.valueType
      }
    }
  }

  dynamic "bucket_options" {
    for_each = try([each.value.bucketOptions.explicitBuckets.bounds], [])

    content {
      explicit_buckets {
        bounds = bucket_options.value
      }
    }
  }

  depends_on = [time_sleep.enabled]
}

resource "google_monitoring_notification_channel" "email" {
  display_name = "${var.name} alarms"
  type         = "email"
  labels       = { email_address = var.alarm_email }

  depends_on = [time_sleep.enabled]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alarms

  display_name          = each.value.displayName
  combiner              = each.value.combiner
  severity              = each.value.severity
  user_labels           = each.value.userLabels
  notification_channels = concat([google_monitoring_notification_channel.email.id], var.notification_channels)

  documentation {
    subject   = each.value.documentation.subject
    content   = each.value.documentation.content
    mime_type = each.value.documentation.mimeType
  }

  alert_strategy {
    auto_close           = each.value.alertStrategy.autoClose
    notification_prompts = each.value.alertStrategy.notificationPrompts
  }

  dynamic "conditions" {
    for_each = each.value.conditions

    content {
      display_name = conditions.value.displayName

      dynamic "condition_threshold" {
        for_each = try([conditions.value.conditionThreshold], [])

        content {
          filter          = condition_threshold.value.filter
          comparison      = condition_threshold.value.comparison
          threshold_value = condition_threshold.value.thresholdValue
          duration        = condition_threshold.value.duration

          dynamic "aggregations" {
            for_each = condition_threshold.value.aggregations

            content {
              alignment_period     = aggregations.value.alignmentPeriod
              per_series_aligner   = aggregations.value.perSeriesAligner
              cross_series_reducer = aggregations.value.crossSeriesReducer
            }
          }
        }
      }

      dynamic "condition_absent" {
        for_each = try([conditions.value.conditionAbsent], [])

        content {
          filter   = condition_absent.value.filter
          duration = condition_absent.value.duration

          dynamic "aggregations" {
            for_each = condition_absent.value.aggregations

            content {
              alignment_period     = aggregations.value.alignmentPeriod
              per_series_aligner   = aggregations.value.perSeriesAligner
              cross_series_reducer = aggregations.value.crossSeriesReducer
            }
          }
        }
      }
    }
  }

  # The builds give metrics some minutes more.
  depends_on = [
    time_sleep.settled,
    google_cloudfunctions2_function.receive,
    google_cloudfunctions2_function.redrive,
    google_cloudfunctions2_function.watch,
  ]
}

# Receives Dastra's webhooks with a Cloud Run function and puts genuine events on Pub/Sub. See docs/deploy-gcp.md.

terraform {
  required_version = ">= 1.9" # a validation may look at other variables since then

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 8.7" # every attribute here was checked against 8.7.0
    }
    google-beta = {
      source  = "hashicorp/google-beta"
      version = "~> 8.7" # for Pub/Sub's own account alone (queue.tf)
    }
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.13"
    }
  }
}

provider "google" {
  project        = var.project
  region         = var.region
  default_labels = { app = var.name }
}

provider "google-beta" {
  project = var.project
  region  = var.region
}

"""What a Service Bus namespace and its queues must have.

`checkov -d infra/azure --framework bicep --external-checks-dir infra/azure/checks`
"""

from __future__ import annotations

from typing import Any

from checkov.bicep.checks.resource.base_resource_value_check import BaseResourceValueCheck
from checkov.common.models.enums import CheckCategories

NAMESPACE = "Microsoft.ServiceBus/namespaces"
QUEUE = "Microsoft.ServiceBus/namespaces/queues"


class ServiceBusCheck(BaseResourceValueCheck):
    """One property that must have one value."""

    def __init__(self, number: int, name: str, resource: str, key: str, value: Any) -> None:
        super().__init__(name, f"CKV_DASTRA_{number}", [CheckCategories.GENERAL_SECURITY], [resource])
        self._key = f"properties/{key}"
        self._value = value

    def get_inspected_key(self) -> str:
        """Where the property is."""
        return self._key

    def get_expected_value(self) -> Any:
        """What it must be."""
        return self._value


ServiceBusCheck(1, "Service Bus has no shared keys", NAMESPACE, "disableLocalAuth", True)
ServiceBusCheck(2, "Service Bus speaks TLS 1.2 or newer", NAMESPACE, "minimumTlsVersion", "1.2")
ServiceBusCheck(3, "The queue takes each event once", QUEUE, "requiresDuplicateDetection", True)
ServiceBusCheck(4, "The queue drops nothing unread", QUEUE, "deadLetteringOnMessageExpiration", True)

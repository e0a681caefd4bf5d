// The queue. Only Entra ID opens it: there is no connection string to leak.

@description('Where.')
param location string

@description('Tags of everything.')
param tags object

@description('What makes names unique.')
param token string

@description('Receives without completion before a message is a dead letter.')
param maxDeliveryCount int

@description('Seconds that a received message is locked.')
param lockSeconds int

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: 'sb-dastra-${token}'
  location: location
  tags: tags
  // Basic has no duplicate detection. Private endpoints and address rules want Premium; here the identity is the gate.
  sku: {
    name: 'Standard'
    tier: 'Standard'
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: 'Enabled'
  }
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: 'dastra-events'
  properties: {
    // A send that timed out may have arrived and is then repeated with the same message id, at the latest when redrive
    // runs. One hour covers a queue that was down for a while; each id costs memory in the namespace for that long.
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT1H'
    defaultMessageTimeToLive: 'P4D'
    // Not deleted but set aside: an event that nobody read in time raises dead_letters. Nothing expires there, since
    // Service Bus keeps dead letters until somebody takes them.
    deadLetteringOnMessageExpiration: true
    maxDeliveryCount: maxDeliveryCount
    lockDuration: 'PT${lockSeconds}S'
    maxSizeInMegabytes: 5120
    requiresSession: false
    enablePartitioning: false
  }
}

output namespaceId string = namespace.id
output namespaceName string = namespace.name
output queueName string = queue.name
output address string = '${namespace.name}.servicebus.windows.net/${queue.name}'
output deadLetterAddress string = '${namespace.name}.servicebus.windows.net/${queue.name}/$deadletterqueue'

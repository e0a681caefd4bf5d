// Who may do what, each on the smallest thing that Azure lets a role stand on. Nobody is owner or contributor.

@description('The Service Bus namespace.')
param namespaceName string

@description('The queue in it.')
param queueName string

@description('The account with events.')
param accountName string

@description('The container in it.')
param containerName string

@description('The account of the function\'s host.')
param hostAccountName string

@description('The vault.')
param vaultName string

@description('The Application Insights component.')
param insightsName string

@description('The function\'s identity.')
param receiverPrincipalId string

@description('Who operates the receiver; empty for nobody.')
param operatorPrincipalId string

@description('What the operator is.')
param operatorPrincipalType string

@description('Who reads the queue; empty for nobody.')
param consumerPrincipalId string

@description('What the consumer is.')
param consumerPrincipalType string

// Azure's built-in roles: learn.microsoft.com/azure/role-based-access-control/built-in-roles
var roles = {
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  storageBlobDataReader: '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1'
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}

// The receiver reads which addresses a person accepted, and must not be able to accept one itself.
var blob = 'Microsoft.Storage/storageAccounts/blobServices/containers/blobs'
var changes = '!(ActionMatches{\'${blob}/write\'}) AND !(ActionMatches{\'${blob}/add/action\'}) AND !(ActionMatches{\'${blob}/delete\'})'
var noChangeOfAddresses = '((${changes}) OR (@Resource[${blob}:path] StringNotLike \'addresses/*\'))'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: queueName
}

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: accountName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' existing = {
  parent: account
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' existing = {
  parent: blobs
  name: containerName
}

resource hostAccount 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: hostAccountName
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// -------------------------------------------------------------------------------------------------------- the function

resource receiverSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(queue.id, receiverPrincipalId, roles.serviceBusDataSender)
  scope: queue
  properties: {
    description: 'The receiver puts events on the queue'
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
  }
}

resource receiverStores 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(container.id, receiverPrincipalId, roles.storageBlobDataContributor)
  scope: container
  properties: {
    description: 'The receiver stores large bodies and events that wait'
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    condition: noChangeOfAddresses
    conditionVersion: '2.0'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataContributor)
  }
}

resource receiverReadsKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  // On the vault, since the secrets do not exist yet; it holds nothing that the function app does not read.
  name: guid(vault.id, receiverPrincipalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    description: 'The receiver reads the signature keys, and its check of the webhooks the key of the API'
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}

resource hostOwnsItsAccount 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  // What Microsoft asks for on AzureWebJobsStorage. It owns blobs, not the account, and no event is ever in there.
  name: guid(hostAccount.id, receiverPrincipalId, roles.storageBlobDataOwner)
  scope: hostAccount
  properties: {
    description: 'The function host keeps its package, its locks and its timer there'
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

resource receiverLogs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, receiverPrincipalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    description: 'The receiver writes its log'
    principalId: receiverPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// -------------------------------------------------------------------------------------------------------- the operator

resource operatorSetsKeys 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(vault.id, operatorPrincipalId, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    description: 'The operator sets and rotates the signature keys'
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
  }
}

resource operatorReleases 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(container.id, operatorPrincipalId, roles.storageBlobDataContributor)
  scope: container
  properties: {
    description: 'The operator accepts addresses, and releases or drops what is held'
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataContributor)
  }
}

resource operatorSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(queue.id, operatorPrincipalId, roles.serviceBusDataSender)
  scope: queue
  properties: {
    description: 'What the operator releases goes on the queue'
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
  }
}

resource operatorLooks 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(operatorPrincipalId)) {
  name: guid(queue.id, operatorPrincipalId, roles.serviceBusDataReceiver)
  scope: queue
  properties: {
    description: 'The operator looks at messages and takes dead letters'
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}

// -------------------------------------------------------------------------------------------------------- the consumer

resource consumerReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(consumerPrincipalId)) {
  name: guid(queue.id, consumerPrincipalId, roles.serviceBusDataReceiver)
  scope: queue
  properties: {
    description: 'The consumer receives events'
    principalId: consumerPrincipalId
    principalType: consumerPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}

resource consumerReads 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(consumerPrincipalId)) {
  name: guid(container.id, consumerPrincipalId, roles.storageBlobDataReader)
  scope: container
  properties: {
    description: 'The consumer follows pointers to large bodies'
    principalId: consumerPrincipalId
    principalType: consumerPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataReader)
  }
}
